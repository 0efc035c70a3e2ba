"""``/v1/embeddings`` and ``/embed``: their forms, their heads, their failures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from omnivec2.spec import HeadSpec, TaskFamily
from service.access.api_keys import create_key
from service.http.notes_header import parse_notes
from tests.support.model_repositories.tiny_models import COLUMNS, head_spec
from tests.support.requests.asgi import SENTIMENT, Reply, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

OPENAI, TEI = "/v1/embeddings", "/embed"
LONG = "good film " * 400

Test = Callable[[FastAPI], Awaitable[None]]


def embedding(route: str, **fields: Any) -> HeadSpec:
    return head_spec(route, TaskFamily.EMBEDDING, {"embedding": (4,)}, **fields)


HEADS = (
    embedding("text/embedding"),
    embedding("image/embedding"),
    embedding("infrared/embedding"),
    embedding("graph/embedding"),
    embedding("tabular/embedding", parameters={"columns": COLUMNS}),
    embedding("text/retrieval"),
    SENTIMENT,
)


def with_heads(test: Test, *heads: HeadSpec, **settings: Any) -> None:
    run(test, FakeRuntime(*(heads or HEADS)), **settings)


async def post(app: FastAPI, path: str, body: object, **headers: str) -> Reply:
    data = json.dumps(body).encode()
    return await ask(app, path, data, content_type="application/json", **headers)


def png() -> str:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_a_text_gets_a_list_of_one_vector_and_its_tokens() -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, OPENAI, {"input": "a good film", "model": "text/embedding"})
        assert reply.status == 200
        assert reply.json["object"] == "list"
        assert reply.json["model"] == "text/embedding"
        assert reply.json["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
        (item,) = reply.json["data"]
        assert (item["object"], item["index"]) == ("embedding", 0)
        assert np.linalg.norm(item["embedding"]) == pytest.approx(1.0)
        plain = await post(app, "/predict/text/embedding", {"inputs": "a good film"})
        assert [item["embedding"]] == plain.json
        assert reply.headers["x-model"] == "text_embedding"

    with_heads(test)


def test_base64_holds_the_same_numbers() -> None:
    async def test(app: FastAPI) -> None:
        body = {"input": ["one film", "another"], "model": "embedding"}
        numbers = (await post(app, OPENAI, body)).json["data"]
        encoded = (await post(app, OPENAI, {**body, "encoding_format": "base64"})).json["data"]
        assert [item["index"] for item in encoded] == [0, 1]
        for plain, packed in zip(numbers, encoded, strict=True):
            values = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
            np.testing.assert_array_equal(values, np.asarray(plain["embedding"], np.float32))

    with_heads(test)


def test_dimensions_keep_the_first_numbers_at_length_one() -> None:
    async def test(app: FastAPI) -> None:
        body = {"input": "a good film", "model": "embedding"}
        whole = (await post(app, OPENAI, body)).json["data"][0]["embedding"]
        short = (await post(app, OPENAI, {**body, "dimensions": 3})).json["data"][0]["embedding"]
        np.testing.assert_allclose(short, np.array(whole[:3]) / np.linalg.norm(whole[:3]), 1e-6)
        refused = await post(app, OPENAI, {**body, "dimensions": 5})
        assert refused.status == 400
        assert refused.json["error"]["param"] == "dimensions"
        assert "at most 4" in refused.json["error"]["message"]

    with_heads(test)


@pytest.mark.parametrize(
    ("model", "value", "answers"),
    [
        ("embedding", "a text", "text/embedding"),
        (None, "a text", "text/embedding"),
        ("retrieval", ["a text", "another"], "text/retrieval"),
        ("text_retrieval", "data:text/plain,a%20text", "text/retrieval"),
        ("embedding", png(), "image/embedding"),
        ("infrared/embedding", [png(), png()], "infrared/embedding"),
        ("graph/embedding", ["CCO", "c1ccccc1"], "graph/embedding"),
        ("tabular/embedding", [{"age": 30, "workclass": "Private"}], "tabular/embedding"),
    ],
)
def test_the_model_or_the_type_of_the_input_chooses_the_head(
    model: str | None, value: object, answers: str
) -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, OPENAI, {"input": value, "model": model})
        assert reply.status == 200, reply.body
        assert reply.json["model"] == answers
        assert len(reply.json["data"]) == (len(value) if isinstance(value, list) else 1)

    with_heads(test)


def test_two_thousand_texts_are_answered_in_their_order() -> None:
    async def test(app: FastAPI) -> None:
        texts = [f"film {'good ' * (number % 7)}" for number in range(2048)]
        reply = await post(app, OPENAI, {"input": texts, "model": "embedding"})
        assert [item["index"] for item in reply.json["data"]] == list(range(2048))
        more = await post(app, OPENAI, {"input": [*texts, "one"], "model": "embedding"})
        assert more.status == 413
        assert "2,048" in more.json["error"]["message"]

    with_heads(test)


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"input": "x", "model": "gpt"}, 404, None, "text/embedding"),
        ({"input": [[1, 2, 3]], "model": "embedding"}, 400, "input", "token arrays"),
        ({"input": [1, 2, 3], "model": "text/embedding"}, 400, "input", "token arrays"),
        ({"input": ["a", ""], "model": "embedding"}, 400, "input[1]", "empty"),
        ({"input": [], "model": "embedding"}, 400, "input", "at least one"),
        ({"model": "embedding"}, 400, "input", "expected the field 'input'"),
        ({"inputs": "a"}, 400, "input", 'expected "input"'),
        ({"input": "a", "temperature": 1}, 400, "temperature", "unknown field"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format", "float"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions", "greater"),
        ({"input": [png(), "a"], "model": "embedding"}, 400, "input[1]", "text/embedding"),
        ({"input": png(), "model": "text/embedding"}, 400, "input", "does not take image/png"),
        ({"input": "data:image/png;base64,", "model": "embedding"}, 400, "input", "empty"),
        ({"input": "data:image/png;base64,AAAA"}, 400, "input", ""),
        ({"input": "data:x/unheard-of;base64,AAAA"}, 400, "input[0]", "no model of this task"),
        (["a"], 400, "body", "got a list"),
    ],
)
def test_what_is_wrong_is_said_in_openais_form(
    body: object, status: int, param: str | None, words: str
) -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, OPENAI, body)
        assert reply.status == status, reply.body
        assert reply.headers["content-type"] == "application/json"
        error = reply.json["error"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param
        assert words in error["message"]

    with_heads(test)


def test_other_failures_under_v1_have_openais_form_too() -> None:
    async def test(app: FastAPI) -> None:
        missing = await ask(app, "/v1/chat/completions", b"{}")
        assert (missing.status, missing.json["error"]["param"]) == (404, None)
        form = await ask(app, OPENAI, b"x", content_type="image/png")
        assert form.status == 415
        assert "data URLs" in form.json["error"]["message"]
        wrong = await ask(app, OPENAI, b"{", content_type="application/json")
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "body")

    with_heads(test)


def test_a_key_is_needed_and_may_be_for_some_heads_only(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    images = create_key(keys, "images", heads=("image/embedding",))

    async def test(app: FastAPI) -> None:
        bearer = {"authorization": f"Bearer {images}"}
        for path, body in ((OPENAI, {"input": png()}), (TEI, {"inputs": png()})):
            assert (await post(app, path, body)).status == 401
            assert (await post(app, path, body, **bearer)).status == 200
        # The page at the same path needs none.
        assert (await post(app, "/", {"inputs": png()})).status == 401
        assert (await ask(app, "/", b"", "GET")).status == 200
        refused = await post(app, OPENAI, {"input": "a text"}, **bearer)
        assert refused.status == 403
        assert refused.json["error"]["code"] == "insufficient_permissions"
        unknown = await post(app, OPENAI, {"input": "a"}, authorization="Bearer sk-wrong")
        assert unknown.json["error"]["code"] == "invalid_api_key"

    with_heads(test, api_keys_file=keys)


def test_tei_gets_bare_vectors_by_its_parameters() -> None:
    async def test(app: FastAPI) -> None:
        texts = {"inputs": ["one film", "another"]}
        for path in (TEI, "/"):
            reply = await post(app, path, {**texts, "truncate": True, "normalize": False})
            assert reply.status == 200
            assert len(reply.json) == 2
        lengths = np.linalg.norm(reply.json, axis=1)
        assert (lengths > 1.5).all()
        one = await post(app, TEI, {"inputs": png(), "dimensions": 2})
        assert np.shape(one.json) == (1, 2)
        assert one.headers["x-model"] == "image_embedding"

    with_heads(test)


def test_tei_cuts_the_side_that_is_asked_for_or_refuses() -> None:
    async def test(app: FastAPI) -> None:
        (end,) = parse_notes((await post(app, TEI, {"inputs": LONG})).headers["x-notes"])
        left = {"inputs": LONG, "truncation_direction": "Left"}
        (start,) = parse_notes((await post(app, TEI, left)).headers["x-notes"])
        assert "its end was not read" in str(end["text"])
        assert "its beginning was not read" in str(start["text"])
        refused = await post(app, TEI, {"inputs": LONG, "truncate": False})
        assert refused.status == 413
        assert "tokens longer" in refused.json["error"]

    with_heads(test)


def test_the_default_model_is_a_setting() -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, TEI, {"inputs": "a text"})
        assert reply.headers["x-model"] == "text_retrieval"

    with_heads(test, embedding_model="retrieval")


def test_several_models_that_take_a_type_are_named() -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, OPENAI, {"input": png(), "model": "embedding"})
        assert reply.status == 400
        assert reply.json["error"]["known"] == ["infrared/embedding", "xray/embedding"]

    with_heads(test, embedding("infrared/embedding"), embedding("xray/embedding"))


def test_strict_requests_refuse_notes_and_failures_are_counted() -> None:
    async def test(app: FastAPI) -> None:
        reply = await post(app, OPENAI, {"input": LONG}, x_strict="true")
        assert reply.status == 400
        assert reply.json["error"]["notes"][0]["code"] == "cut"
        page = (await ask(app, "/metrics", b"", "GET")).body.decode()
        assert 'omnivec2_requests_total{modality="text",status="400",task="embedding"} 1.0' in page

    with_heads(test)


def test_models_are_listed_for_openais_clients() -> None:
    async def test(app: FastAPI) -> None:
        listed = (await ask(app, "/v1/models", b"", "GET")).json
        names = [model["id"] for model in listed["data"]]
        assert names == sorted(head.route for head in HEADS if head.is_embedding)
        one = (await ask(app, "/v1/models/text/embedding", b"", "GET")).json
        assert one == {
            "id": "text/embedding",
            "object": "model",
            "created": 0,
            "owned_by": "omnivec2",
        }
        assert (await ask(app, "/v1/models/gpt", b"", "GET")).status == 404

    with_heads(test)


def test_without_embedding_heads_the_routes_say_so() -> None:
    async def test(app: FastAPI) -> None:
        assert (await post(app, OPENAI, {"input": "a"})).status == 404
        assert (await ask(app, "/v1/models", b"", "GET")).json["data"] == []

    with_heads(test, SENTIMENT)


def test_the_document_describes_requests_answers_and_failures() -> None:
    async def test(app: FastAPI) -> None:
        document = app.openapi()
        operation = document["paths"][OPENAI]["post"]
        assert "422" not in operation["responses"]
        failure = operation["responses"]["400"]["content"]["application/json"]["schema"]
        assert failure["$ref"].endswith("/OpenAiError")
        content = operation["requestBody"]["content"]["application/json"]
        assert (await post(app, OPENAI, content["example"])).status == 200
        tei = document["paths"][TEI]["post"]
        example = tei["requestBody"]["content"]["application/json"]["example"]
        assert (await post(app, TEI, example)).status == 200
        assert "application/problem+json" in tei["responses"]["422"]["content"]

    with_heads(test)
