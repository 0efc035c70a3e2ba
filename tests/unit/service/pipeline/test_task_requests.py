from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fastapi import FastAPI

from omnivec2.errors import InvalidParameterError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Limits, TaskFamily, TensorSpec
from service.pipeline.host_stages import Head
from service.pipeline.task_requests import group_by_preprocessing, requests_of_heads
from service.runtimes.base import Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

PATH = "/predict/text"
TOPIC = classification("text/topic", "war", "peace", "money")
VECTOR = SENTIMENT.model_copy(
    update={
        "task": "embedding",
        "family": TaskFamily.EMBEDDING,
        "labels": (),
        "outputs": (TensorSpec(name="embedding", dtype="float32", shape=(2,)),),
    }
)
# Takes less than the others, so it cannot look at an input for them.
STRICT = SENTIMENT.model_copy(
    update={"task": "strict", "limits": SENTIMENT.limits.model_copy(update={"bytes": 10})}
)


def runtime(*specs: Any) -> FakeRuntime:
    return FakeRuntime(*(specs or (SENTIMENT, TOPIC, VECTOR)))


def head(spec: Any) -> Head:
    return Head(Model(spec), preprocessor_for(spec), postprocessor_for(spec.family))


def test_each_task_gives_the_answer_it_gives_alone() -> None:
    async def test(app: FastAPI) -> None:
        alone = {
            task: (await ask(app, f"{PATH}/{task}")).json
            for task in ("topic", "sentiment", "embedding")
        }
        reply = await ask(app, PATH, query="tasks=topic,sentiment,embedding")
        assert reply.status == 200
        assert reply.json == alone
        assert list(reply.json) == ["topic", "sentiment", "embedding"]
        assert reply.headers["x-model"] == "text_topic,text_sentiment,text_embedding"
        assert reply.headers["x-model-version"] == "7,7,7"

    run(test, runtime())


def test_a_list_of_inputs_gets_a_list_per_task() -> None:
    body = json.dumps({"inputs": ["a", "b c"]}).encode()

    async def test(app: FastAPI) -> None:
        reply = await ask(app, PATH, body, query="tasks=topic,sentiment")
        assert {task: len(rows) for task, rows in reply.json.items()} == {
            "topic": 2,
            "sentiment": 2,
        }

    run(test, runtime())


def test_tasks_with_the_same_preprocessing_share_one_batch() -> None:
    fake = runtime()

    async def test(app: FastAPI) -> None:
        await ask(app, PATH, query="tasks=topic,sentiment")
        assert fake.together == [["text_topic", "text_sentiment"]]

    run(test, fake)


def test_tasks_of_other_limits_prepare_separately_and_the_strictest_limit_holds() -> None:
    fake = runtime(SENTIMENT, STRICT)

    async def test(app: FastAPI) -> None:
        assert (await ask(app, PATH, b"good", query="tasks=sentiment,strict")).status == 200
        assert fake.together == []
        refused = await ask(app, PATH, b"good" * 9, query="tasks=sentiment,strict")
        assert refused.status == 413

    run(test, fake)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 422, "query.tasks"),
        ("tasks=", 422, "query.tasks"),
        ("tasks=topic,,sentiment", 422, "query.tasks"),
        ("tasks=topic,topic", 422, "query.tasks"),
        ("tasks=topic&tasks=sentiment", 422, "query.tasks"),
        ("tasks=topic&top_k=1", 422, "query.top_k"),
        ("tasks=topic,nonsense", 404, None),
    ],
)
def test_unknown_tasks_are_refused_with_the_known_ones(
    query: str, status: int, field: str | None
) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, PATH, query=query)
        assert (reply.status, reply.json.get("field")) == (status, field)
        if status == 404:
            assert "text/topic" in reply.json["known"]

    run(test, runtime())


def test_parameters_are_for_every_task_or_by_task() -> None:
    async def test(app: FastAPI) -> None:
        async def lengths(parameters: Any, tasks: str = "topic,sentiment") -> Any:
            body = json.dumps({"inputs": "a", "parameters": parameters}).encode()
            reply = await ask(app, PATH, body, query=f"tasks={tasks}")
            if reply.status != 200:
                return reply.status, reply.json["field"]
            return [len(rows[0]) for rows in reply.json.values()]

        assert await lengths({"top_k": 1}) == [1, 1]
        assert await lengths({"topic": {"top_k": 1}}) == [1, 2]
        assert await lengths({"topic": {"top_k": 1}}, "topic,embedding") == [1, 2]
        assert await lengths({"top_k": 1}, "topic,embedding") == (422, "parameters.top_k")
        assert await lengths({"topic": {"k": 1}}) == (422, "parameters.topic.k")
        assert await lengths({"topic": {}, "top_k": 1}) == (422, "parameters.top_k")
        assert await lengths({"topic": {}, "sentiment": 1}) == (422, "parameters.sentiment")

    run(test, runtime())


def test_a_task_that_refuses_a_parameter_is_named() -> None:
    with pytest.raises(InvalidParameterError, match="embedding: unknown parameter 'top_k'"):
        requests_of_heads([head(SENTIMENT), head(VECTOR)], {"top_k": 1})


def test_heads_are_grouped_by_preprocessing_and_limits() -> None:
    requests = requests_of_heads([head(spec) for spec in (SENTIMENT, STRICT, TOPIC)], {})
    groups = [
        [request.head.spec.task for request in group] for group in group_by_preprocessing(requests)
    ]
    assert groups == [["sentiment", "topic"], ["strict"]]
    assert STRICT.limits != Limits()


def test_every_task_is_counted() -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, PATH, query="tasks=topic,sentiment")
        metrics = (await ask(app, "/metrics", method="GET")).body.decode()
        for task in ("topic", "sentiment"):
            labels = f'modality="text",status="200",task="{task}"'
            assert f"omnivec2_requests_total{{{labels}}} 1.0" in metrics

    run(test, runtime())


def test_the_runtime_sees_the_context_of_the_request() -> None:
    fake = runtime()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def test(app: FastAPI) -> None:
        headers = {"X_Request_ID": "me-1", "traceparent": trace, "X_Request_Timeout": "5"}
        await ask(app, f"{PATH}/topic", **headers)
        (context,) = fake.contexts
        assert (context.request_id, context.traceparent) == ("me-1", trace)
        assert 3 < context.deadline - time.monotonic() < 5

    run(test, fake)
