"""Explanations of answers, from the query or the parameters to the body and the metered work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import COLUMNS, classification, tiny_heads
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

GOOD_ID = 2204
"""The word "good" in the vocabulary."""

INCOME = classification("tabular/income", "<=50K", ">50K", parameters={"columns": COLUMNS})
EMBEDDING = next(head for head in tiny_heads() if head.route == "text/embedding")


class LikesGood(FakeRuntime):
    """Answers "yes" to texts with the word "good", and to older people."""

    def __init__(self, *specs: Any) -> None:
        super().__init__(*(specs or (SENTIMENT,)))
        self.rows: list[int] = []

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        if "input_ids" in inputs:
            liked = (inputs["input_ids"] == GOOD_ID).sum(axis=1) * 4.0 - 1.0
        else:
            liked = inputs["numbers"][:, 0] / 10.0 - 2.0
        self.rows.append(len(liked))
        logits = np.stack([np.zeros_like(liked), liked], axis=1).astype(np.float32)
        return Inference({"logits": logits}, 0.0, 0.001)


def body(inputs: Any, **parameters: Any) -> bytes:
    return json.dumps({"inputs": inputs, "parameters": parameters}).encode()


def best(explanation: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = max(explanation["segments"], key=lambda segment: segment["value"])
    return found


@pytest.mark.parametrize("in_query", [True, False])
def test_the_word_that_carried_the_answer_has_the_largest_value(in_query: bool) -> None:
    text = "A very good film"

    async def test(app: FastAPI) -> None:
        plain = await ask(app, ROUTE, body(text))
        parameters = {} if in_query else {"explain": True}
        query = "explain=true" if in_query else ""
        reply = await ask(app, ROUTE, body(text, **parameters), query=query)
        assert reply.status == 200
        assert reply.json["answer"] == plain.json
        (explanation,) = reply.json["explanations"]
        assert explanation["input"] == 0
        assert explanation["label"] == "yes"
        found = best(explanation)
        assert text[found["start"] : found["end"]] == "good"
        assert found["value"] > 0.5
        assert explanation["evaluations"] == 4

    run(test, LikesGood())


def test_a_file_in_the_body_is_explained_too() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, b"good", query="explain=true", content_type="text/plain")
        assert reply.json["explanations"][0]["segments"][0]["end"] == 4

    run(test, LikesGood())


def test_explain_false_changes_nothing() -> None:
    async def test(app: FastAPI) -> None:
        plain = await ask(app, ROUTE, body("good"))
        for query, parameters in (("explain=false", {}), ("", {"explain": False})):
            assert (
                await ask(app, ROUTE, body("good", **parameters), query=query)
            ).json == plain.json

    run(test, LikesGood())


def test_each_input_of_a_list_has_its_explanation() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, body(["good", "a bad one"], explain=True))
        assert [one["input"] for one in reply.json["explanations"]] == [0, 1]
        assert [one["label"] for one in reply.json["explanations"]] == ["yes", "no"]
        assert len(reply.json["answer"]) == 2

    run(test, LikesGood())


def test_each_row_of_a_table_has_its_explanation() -> None:
    rows = [{"age": 60, "workclass": "Private"}, {"age": 70, "workclass": "State-gov"}]

    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/predict/tabular/income", body(rows, explain=True))
        assert [one["row"] for one in reply.json["explanations"]] == [0, 1]
        assert best(reply.json["explanations"][0])["column"] == "age"

    run(test, LikesGood(INCOME))


def test_masked_copies_run_in_batches_of_the_head_and_are_bounded() -> None:
    runtime = LikesGood(SENTIMENT.model_copy(update={"max_batch_size": 4}))

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, body("word " * 100, explain=True))
        assert reply.json["explanations"][0]["evaluations"] == 10
        assert max(runtime.rows) <= 4
        assert sum(runtime.rows) == 11

    run(test, runtime, explanation_segments=10)


def test_too_many_answers_are_not_explained() -> None:
    rows = [{"age": 60, "workclass": "Private"}] * 9

    async def test(app: FastAPI) -> None:
        for path, inputs in (("/predict/tabular/income", rows), (ROUTE, ["good"] * 9)):
            reply = await ask(app, path, body(inputs, explain=True))
            assert reply.status == 413
            assert "at most 8" in reply.json["detail"]

    run(test, LikesGood(SENTIMENT, INCOME))


@pytest.mark.parametrize("query", ["explain=true", ""])
def test_a_head_without_explanations_says_which_have_them(query: str) -> None:
    async def test(app: FastAPI) -> None:
        content = body("good") if query else body("good", explain=True)
        reply = await ask(app, "/predict/text/embedding", content, query=query)
        assert reply.status == 422
        assert reply.json["known"] == ["text/sentiment"]
        assert reply.json["field"] == "parameters.explain"

    run(test, LikesGood(EMBEDDING, SENTIMENT))


def test_explanations_can_be_switched_off() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, body("good", explain=True))
        assert reply.status == 422
        assert "switched off" in reply.json["detail"]

    run(test, LikesGood(), explanation_segments=0)


@pytest.mark.parametrize("query", ["explain=yes", "explain=true&explain=true", "explain="])
def test_other_values_in_the_query_are_refused(query: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, query=query)
        assert reply.status == 422
        assert reply.json["field"] == "query.explain"

    run(test, LikesGood())


def test_a_query_and_parameters_that_contradict_each_other_are_refused() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, body("good", explain=False), query="explain=true")
        assert reply.status == 422
        assert "otherwise" in reply.json["detail"]

    run(test, LikesGood())


def test_one_of_several_tasks_can_be_explained() -> None:
    async def test(app: FastAPI) -> None:
        content = body("good", sentiment={"explain": True}, embedding={})
        reply = await ask(app, "/predict/text", content, query="tasks=sentiment")
        assert reply.status == 422
        content = body("good", sentiment={"explain": True})
        reply = await ask(app, "/predict/text", content, query="tasks=sentiment")
        assert reply.json["sentiment"]["explanations"][0]["label"] == "yes"

    run(test, LikesGood(EMBEDDING, SENTIMENT))


def test_explained_requests_have_a_cost_model_of_their_own() -> None:
    async def test(app: FastAPI) -> None:
        admission = app.state.gateway.admission
        for content, query in ((body("good"), "explain=true"), (body("good", explain=True), "")):
            admission._cost_models.clear()
            await ask(app, ROUTE, content, query=query, content_type="application/json")
            learned = {kind[0]: cost._answers for kind, cost in admission._cost_models.items()}
            assert learned.pop("json+explain") == 1
            assert not any(learned.values())

    run(test, LikesGood())


def test_values_of_the_network_that_are_not_finite_are_refused() -> None:
    class Overflows(LikesGood):
        async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
            found = await super().infer(model, inputs)
            found.outputs["logits"][(inputs["input_ids"] != GOOD_ID).all(axis=1)] = np.inf
            return found

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, body("good", explain=True))
        assert reply.status == 422

    run(test, Overflows())
