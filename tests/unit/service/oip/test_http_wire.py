"""The routes of the Open Inference Protocol, in process, over a fake runtime."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from omnivec2.errors import (
    ModelNotReadyError,
    OverloadedError,
    RefusedTensorsError,
    StaleModelError,
)
from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.requests.asgi import ask, run
from tests.support.requests.oip import binary_body, json_body
from tests.support.service_parts.service_fakes import FakeRuntime

SENTIMENT = classification("text/sentiment", "no", "yes")
INFER = "/v2/models/text_sentiment/infer"
IDS = np.array([[5, 6, 7], [8, 9, 10]], np.int32)
ARRAYS = {"input_ids": IDS, "token_type_ids": IDS * 0, "attention_mask": IDS * 0 + 1}
BODY = json_body(ARRAYS)


class Failing(FakeRuntime):
    """Fails so many times in the given way, then answers."""

    def __init__(self, failure: Exception, times: int = 1_000_000) -> None:
        super().__init__(SENTIMENT)
        self._failures = [failure] * min(times, 100)

    async def infer(self, model: Model, inputs: Any) -> Inference:
        if self._failures:
            raise self._failures.pop()
        return await super().infer(model, inputs)


class NotANumber(FakeRuntime):
    """Answers with what is no number."""

    async def infer(self, model: Model, inputs: Any) -> Inference:
        outputs: dict[str, Array] = {"logits": np.full((2, 2), np.nan, np.float32)}
        return Inference(outputs, 0.0, 0.0)


def test_json_tensors_are_answered_in_json() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, INFER, BODY[:-1] + b', "id": "me"}', X_Request_ID="r-1")
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-request-id"] == "r-1"
        assert reply.headers["x-model"] == "text_sentiment"
        assert "compute;dur=500.00" in reply.headers["server-timing"]
        assert reply.json == {
            "id": "me",
            "model_name": "text_sentiment",
            "model_version": "7",
            "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [2, 2], "data": [5, 1, 8, 1]}
            ],
        }

    run(test)


def test_raw_tensors_are_answered_raw_if_asked_so() -> None:
    async def test(app: FastAPI) -> None:
        body, length = binary_body(ARRAYS, parameters={"binary_data_output": True})
        reply = await ask(app, INFER, body, Inference_Header_Content_Length=length)
        assert reply.headers["content-type"] == "application/octet-stream"
        start = int(reply.headers["inference-header-content-length"])
        [output] = json.loads(reply.body[:start])["outputs"]
        assert output["parameters"] == {"binary_data_size": 16}
        assert np.frombuffer(reply.body[start:], "<f4").tolist() == [5, 1, 8, 1]

    run(test)


def test_the_loaded_version_answers_and_another_is_unknown() -> None:
    async def test(app: FastAPI) -> None:
        loaded, other = (
            "/v2/models/text_sentiment/versions/7",
            "/v2/models/text_sentiment/versions/1",
        )
        assert (await ask(app, f"{loaded}/infer", BODY)).status == 200
        for path in ("", "/ready", "/config"):
            assert (await ask(app, loaded + path, method="GET")).status == 200
            reply = await ask(app, other + path, method="GET")
            assert (reply.status, reply.json["known"]) == (404, ["7"])
        reply = await ask(app, f"{other}/infer", BODY)
        assert (reply.status, reply.json["known"]) == (404, ["7"])

    run(test)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/models/text_other/infer"),
        ("POST", "/v2/models/text/sentiment/infer"),
        ("GET", "/v2/models/sentiment"),
        ("GET", "/v2/models/text%2Fsentiment"),
        ("GET", "/v2/models/stats"),
        ("GET", "/v2/models/text_sentiment/stats"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/text_sentiment/load"),
        ("POST", "/v2/repository/models/text_sentiment/unload"),
        ("GET", "/v2/logging"),
        ("POST", "/v2/trace/setting"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/cudasharedmemory/region/r/register"),
        ("POST", "/v2/models/text_sentiment/generate"),
    ],
)
def test_what_is_not_served_is_not_found(method: str, path: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, path, b"{}", method)
        assert reply.status == 404
        assert reply.json["error"] == reply.json["detail"]

    run(test)


def test_metadata_and_health_are_those_of_the_protocol() -> None:
    async def test(app: FastAPI) -> None:
        server = (await ask(app, "/v2", method="GET")).json
        assert (server["name"], "binary_tensor_data" in server["extensions"]) == (
            "omnivec2-serve",
            True,
        )
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/text_sentiment/ready"):
            assert (await ask(app, path, method="GET")).status == 200
        model = (await ask(app, "/v2/models/text_sentiment", method="GET")).json
        assert model["versions"] == ["7"]
        assert model["inputs"][0] == {"name": "input_ids", "datatype": "INT32", "shape": [-1, -1]}
        config = (await ask(app, "/v2/models/text_sentiment/config", method="GET")).json
        assert config["max_batch_size"] == SENTIMENT.max_batch_size
        assert config["output"] == [{"name": "logits", "data_type": "TYPE_FP32", "dims": [2]}]

    run(test)


def test_nothing_is_ready_while_the_models_load() -> None:
    runtime = FakeRuntime(SENTIMENT)

    async def wait_forever() -> None:
        await asyncio.sleep(60)

    runtime.start = wait_forever  # type: ignore[method-assign]

    async def test(app: FastAPI) -> None:
        assert (await ask(app, "/v2/health/live", method="GET")).status == 200
        assert (await ask(app, "/v2/health/ready", method="GET")).status == 503
        assert (await ask(app, "/v2/models/text_sentiment/ready", method="GET")).status == 503
        assert (await ask(app, INFER, BODY)).status == 503

    run(test, runtime, load_seconds=0.05)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OverloadedError("full"), 429),
        (ModelNotReadyError("broken"), 503),
        (StaleModelError("went"), 503),
        (RefusedTensorsError("an index"), 422),
    ],
)
def test_a_failure_of_the_runtime_gets_its_status(failure: Exception, status: int) -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, INFER, BODY)).status == status

    run(test, Failing(failure))


def test_a_model_that_was_replaced_meanwhile_is_asked_again() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, INFER, BODY)).status == 200

    run(test, Failing(StaleModelError("went"), times=1))


def test_outputs_that_are_not_finite_are_refused() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, INFER, BODY)
        assert (reply.status, reply.json["title"]) == (422, "Invalid input")

    run(test, NotANumber(SENTIMENT))


@pytest.mark.parametrize("wanted", [[{"name": "boxes"}], [{"name": "logits"}] * 2])
def test_outputs_that_are_unknown_or_named_twice_are_refused(wanted: list[object]) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, INFER, json_body(ARRAYS, outputs=wanted))
        assert (reply.status, reply.json["known"]) == (422, ["logits"])

    run(test)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, INFER, BODY, Content_Encoding=encoding)
        assert (reply.status, reply.json["known"]) == (415, ["identity"])

    run(test)


def test_a_body_larger_than_the_model_could_take_is_not_read() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, INFER, b" " * 2**20)
        assert reply.status == 413

    run(test)


def test_deadlines_disconnections_and_overload_are_those_of_predict() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, INFER, BODY, X_Request_Timeout="0.05")).status == 504
        await asyncio.wait_for(ask(app, INFER, BODY, leaves=True), 2)
        replies = await asyncio.gather(
            *(ask(app, INFER, BODY, X_Request_Timeout="0.2") for _ in range(3))
        )
        assert sorted(reply.status for reply in replies) == [429, 504, 504]
        assert app.state.gateway.admission.requests == 0
        assert app.state.gateway.admission.bytes == 0
        metrics = (await ask(app, "/metrics", method="GET")).body.decode()
        for status in (499, 429, 504):
            assert f'modality="text",status="{status}",task="sentiment"' in metrics

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30), max_pending_requests=2)


PIECES = [b"[", b"]", b"{", b"}", b",", b"-", b".5", b'"', b"0", b"9" * 30, b"1e400"]
PIECES += [b"null", b"true", b"\\ud800", b"\x00", b"\xff"]


def _mutated(source: random.Random, body: bytes) -> bytes:
    """Return a body with some of its bytes or pieces changed."""
    data = bytearray(body)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        piece = source.choice([*PIECES, source.randbytes(8)])
        cut = source.choice([0, 0, 1, 5, 100])
        data[at : at + cut] = piece
    return bytes(data)


@pytest.mark.uncounted
def test_mutated_bodies_are_never_a_defect_and_never_fill_memory() -> None:
    source = random.Random(11)
    raw, length = binary_body(ARRAYS)

    async def test(app: FastAPI) -> None:
        statuses = []
        tracemalloc.start()
        for _ in range(600):
            body, header = source.choice([(BODY, None), (raw, length)])
            headers = {} if header is None else {"Inference_Header_Content_Length": header}
            statuses.append((await ask(app, INFER, _mutated(source, body), **headers)).status)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert set(statuses) <= {200, 413, 422}
        assert statuses.count(422) > 300
        assert peak < 16 * 2**20

    run(test)


def test_without_a_port_for_it_the_grpc_server_is_not_even_imported() -> None:
    program = (
        "import sys; from service.app import create_app; create_app();"
        "sys.exit('service.oip.grpc_server' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_runtime_sees_the_context_of_the_request() -> None:
    fake = FakeRuntime(SENTIMENT)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def test(app: FastAPI) -> None:
        await ask(app, INFER, BODY, X_Request_ID="r-1", traceparent=trace, X_Request_Timeout="5")
        (context,) = fake.contexts
        assert (context.request_id, context.traceparent) == ("r-1", trace)
        assert 3 < context.seconds_left < 5

    run(test, fake)


def test_tensors_that_meet_a_swap_are_answered_by_the_new_model() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        fake.upcoming = {SENTIMENT.name: Model(SENTIMENT, "8")}
        reply = await ask(app, INFER, BODY)
        assert (reply.status, reply.headers["x-model-version"]) == (200, "8")

    run(test, fake, refresh_seconds=0)


def test_tensors_for_a_version_that_was_replaced_meanwhile_are_not_answered_by_the_new() -> None:
    fake = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        fake.upcoming = {SENTIMENT.name: Model(SENTIMENT, "8")}
        reply = await ask(app, "/v2/models/text_sentiment/versions/7/infer", BODY)
        assert (reply.status, reply.json["known"]) == (404, ["8"])

    run(test, fake, refresh_seconds=0)


def test_tensors_for_a_model_removed_meanwhile_are_for_an_unknown_model() -> None:
    fake = FakeRuntime(SENTIMENT)
    topic = classification("text/topic", "war", "peace")

    async def test(app: FastAPI) -> None:
        fake.upcoming = {topic.name: Model(topic, "1")}
        reply = await ask(app, INFER, BODY)
        assert (reply.status, reply.json["known"]) == (404, ["text_topic"])

    run(test, fake, refresh_seconds=0)
