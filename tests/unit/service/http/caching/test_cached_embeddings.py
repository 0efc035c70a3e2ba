"""Embeddings that are kept input by input."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from omnivec2.spec import HeadSpec, TaskFamily
from service.http.notes_header import parse_notes
from service.runtimes.base import Model
from tests.support.model_repositories.tiny_models import COLUMNS, head_spec
from tests.support.requests.asgi import ask, run
from tests.support.requests.cached_answers import HIT, MISS, lookups, post, status_of
from tests.support.service_parts.service_fakes import FakeRuntime

OPENAI, TEI = "/v1/embeddings", "/embed"
LONG = "good film " * 400


def embedding(route: str, **fields: Any) -> HeadSpec:
    return head_spec(route, TaskFamily.EMBEDDING, {"embedding": (4,)}, **fields)


TEXT = embedding("text/embedding")
HEADS = (
    TEXT,
    embedding("text/retrieval"),
    embedding("tabular/embedding", parameters={"columns": COLUMNS}),
)


def cached(test: Any, runtime: FakeRuntime | None = None, **settings: Any) -> None:
    run(test, runtime or FakeRuntime(*HEADS), **{"response_cache_mib": 1, **settings})


def test_only_the_texts_of_a_list_that_are_not_known_are_computed() -> None:
    fake = FakeRuntime(*HEADS)

    async def test(app: FastAPI) -> None:
        plain = await post(
            app, OPENAI, {"input": ["a", "bb b", "a", "c"]}, cache_control="no-store"
        )
        assert status_of(plain) == "omnivec2; fwd=bypass"
        before = len(fake.batches)
        await post(app, OPENAI, {"input": ["a"]})
        mixed = await post(app, OPENAI, {"input": ["a", "bb b", "a", "c"]})
        wanted = 'omnivec2; fwd=partial; stored; detail="2 of 4 inputs"'
        assert status_of(mixed) == wanted
        assert len(fake.batches) == before + 3
        again = await post(app, OPENAI, {"input": ["a", "bb b", "a", "c"]})
        assert status_of(again) == HIT
        assert len(fake.batches) == before + 3
        # Vectors, their order and the tokens in the usage are those of a service without a cache.
        assert plain.json == mixed.json == again.json
        assert await lookups(app) == {"bypass": 4, "miss": 3, "hit": 6}

    cached(test, fake)


def test_both_routes_and_both_encodings_share_what_is_known() -> None:
    async def test(app: FastAPI) -> None:
        first = await post(app, OPENAI, {"input": ["a film"], "model": "text/embedding"})
        coded = await post(app, OPENAI, {"input": ["a film"], "encoding_format": "base64"})
        tei = await post(app, TEI, {"inputs": ["a film"]})
        assert [status_of(reply) for reply in (first, coded, tei)] == [MISS, HIT, HIT]
        assert tei.json == [first.json["data"][0]["embedding"]]
        assert coded.json["usage"] == first.json["usage"]

    cached(test)


@pytest.mark.parametrize(
    "other", [{"input": ["a"], "dimensions": 2}, {"input": ["a"], "model": "text/retrieval"}]
)
def test_other_parameters_and_other_models_have_other_vectors(other: dict[str, Any]) -> None:
    async def test(app: FastAPI) -> None:
        await post(app, OPENAI, {"input": ["a"]})
        assert status_of(await post(app, OPENAI, other)) == MISS

    cached(test)


def test_notes_name_the_inputs_of_this_request() -> None:
    async def test(app: FastAPI) -> None:
        await post(app, TEI, {"inputs": [LONG]})
        reply = await post(app, TEI, {"inputs": ["a film", LONG]})
        (note,) = parse_notes(reply.headers["x-notes"])
        assert (note["code"], note["field"]) == ("cut", "inputs[1]")
        alone = await post(app, TEI, {"inputs": LONG})
        assert "field" not in parse_notes(alone.headers["x-notes"])[0]
        strict = await post(app, TEI, {"inputs": ["a film", LONG]}, x_strict="true")
        assert (strict.status, strict.json["field"]) == (422, "inputs[1]")

    cached(test)


def test_an_input_that_is_wrong_is_named_and_spoils_nothing() -> None:
    async def test(app: FastAPI) -> None:
        for _ in range(2):
            reply = await post(app, TEI, {"inputs": ["a", 7]})
            assert (reply.status, reply.json["field"]) == (422, "inputs[1]")
        assert (await post(app, TEI, {"inputs": []})).status == 422
        parameters = {"inputs": ["a"], "dimensions": 99}
        reply = await post(app, TEI, parameters)
        assert (reply.status, reply.json["field"]) == (422, "parameters.dimensions")
        assert app.state.gateway.admission.requests == 0
        assert app.state.gateway.admission.bytes == 0

    cached(test)


def test_an_input_of_several_rows_is_known_as_a_whole_and_refused_in_a_list() -> None:
    async def test(app: FastAPI) -> None:
        rows = {"age": [30, 50], "workclass": ["Private", "Private"]}
        body = {"input": rows, "model": "tabular/embedding"}
        first, again = [await post(app, OPENAI, body) for _ in range(2)]
        assert (status_of(again), len(again.json["data"])) == (HIT, 2)
        assert first.json == again.json
        listed = await post(app, OPENAI, {**body, "input": [rows, rows]})
        assert listed.status == 400
        assert "send it alone" in listed.json["error"]["message"]

    cached(test)


def test_vectors_of_two_models_are_never_in_one_answer() -> None:
    fake = FakeRuntime(*HEADS)

    async def test(app: FastAPI) -> None:
        await post(app, TEI, {"inputs": ["a"]})
        models = {name: model for name, model in fake.models().items() if name != TEXT.name}
        fake.upcoming = {**models, TEXT.name: Model(TEXT, "8")}
        before = len(fake.batches)
        reply = await post(app, TEI, {"inputs": ["a", "b"]})
        assert (reply.status, reply.headers["x-model-version"]) == (200, "8")
        # The vector that was known was computed again, by the new model.
        assert len(fake.batches) >= before + 2
        again = await post(app, TEI, {"inputs": ["b"]})
        assert (status_of(again), again.headers["x-model-version"]) == (HIT, "8")

    cached(test, fake, refresh_seconds=0)


def test_a_body_of_unknown_length_is_admitted_first_and_known_all_the_same() -> None:
    async def test(app: FastAPI) -> None:
        body = b'{"inputs": ["a film"]}'
        found = [await ask(app, TEI, body, content_type="application/json") for _ in range(2)]
        assert [status_of(reply) for reply in found] == [MISS, HIT]

    cached(test)
