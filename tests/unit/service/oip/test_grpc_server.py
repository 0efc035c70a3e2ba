"""Calls over gRPC, in process, over a fake runtime: they end and count as requests over HTTP do."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fastapi import FastAPI
from tritonclient.grpc import service_pb2

from service.access.api_keys import create_key
from service.observability.access_logger import LOGGER
from tests.support.requests.asgi import SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

METHOD = "/inference.GRPCInferenceService/ModelInfer"
IDS = np.array([[5, 6, 7], [8, 9, 10]], np.int32)


def infer_request(model: str = "text_sentiment") -> Any:
    request = service_pb2.ModelInferRequest(model_name=model)
    for tensor in SENTIMENT.inputs:
        request.inputs.add(name=tensor.name, datatype="INT32", shape=IDS.shape)
        request.raw_input_contents.append(IDS.tobytes())
    return request


async def call(
    app: FastAPI, request: Any, *, timeout: float | None = None, cancel_after: float | None = None
) -> tuple[str, Any]:
    """Return the code of a call, and its response if it has one."""
    async with grpc.aio.insecure_channel(app.state.gateway.grpc_address) as channel:
        infer = channel.unary_unary(
            METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        running = infer(request, timeout=timeout, metadata=(("x-request-id", "g-1"),))
        if cancel_after is not None:
            await asyncio.sleep(cancel_after)
            running.cancel()
            await asyncio.sleep(0.1)
            return "CANCELLED", None
        try:
            response = await running
        except grpc.aio.AioRpcError as error:
            return error.code().name, None
        return "OK", response


async def statuses(app: FastAPI) -> dict[str, float]:
    """Return the number of requests to the model by status."""
    text = (await ask(app, "/metrics", method="GET")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith("omnivec2_requests_total{")]
    return {
        line.partition('status="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
        if 'task="sentiment"' in line
    }


def test_a_call_is_answered_counted_and_logged_with_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", LOGGER)
    runtime = FakeRuntime(SENTIMENT)

    async def test(app: FastAPI) -> None:
        code, response = await call(app, infer_request())
        assert code == "OK"
        logits = np.frombuffer(response.raw_output_contents[0], np.float32)
        assert logits.tolist() == [5, 1, 8, 1]
        assert await statuses(app) == {"200": 1}
        assert app.state.gateway.admission.requests == app.state.gateway.admission.bytes == 0

    run(test, runtime, grpc_port=0)
    (context,) = runtime.contexts
    assert context.request_id == "g-1"
    (line,) = [vars(r) for r in caplog.records if r.name == LOGGER and r.levelno == logging.INFO][
        :1
    ]
    assert (line["method"], line["status"], line["request_id"]) == ("ModelInfer", "OK", "g-1")


def test_a_call_whose_deadline_passes_counts_as_504() -> None:
    async def test(app: FastAPI) -> None:
        code, _ = await call(app, infer_request(), timeout=0.2)
        assert code == "DEADLINE_EXCEEDED"
        await asyncio.sleep(0.1)
        (status,) = await statuses(app)
        # gRPC may cancel the call before its own deadline is seen here.
        assert status in ("504", "499")
        assert app.state.gateway.admission.requests == 0

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30), grpc_port=0)


def test_a_call_beyond_the_setting_of_the_service_counts_as_504() -> None:
    async def test(app: FastAPI) -> None:
        code, _ = await call(app, infer_request())
        assert code == "DEADLINE_EXCEEDED"
        assert await statuses(app) == {"504": 1}

    runtime = FakeRuntime(SENTIMENT, delay_seconds=30)
    run(test, runtime, grpc_port=0, request_timeout_seconds=0.1)


def test_a_call_that_its_client_cancels_counts_as_499() -> None:
    async def test(app: FastAPI) -> None:
        await call(app, infer_request(), cancel_after=0.2)
        assert await statuses(app) == {"499": 1}
        assert app.state.gateway.admission.requests == 0

    run(test, FakeRuntime(SENTIMENT, delay_seconds=30), grpc_port=0)


def test_a_failure_counts_once_with_the_status_it_has_over_http() -> None:
    class Broken(FakeRuntime):
        async def infer(self, model: Any, inputs: Any) -> Any:
            raise ZeroDivisionError("a defect")

    async def test(app: FastAPI) -> None:
        assert (await call(app, infer_request()))[0] == "INTERNAL"
        assert await statuses(app) == {"500": 1}
        assert (await call(app, infer_request("text_other")))[0] == "NOT_FOUND"
        metrics = (await ask(app, "/metrics", method="GET")).body.decode()
        assert 'requests_total{modality="unknown",status="404",task="unknown"} 1.0' in metrics

    run(test, Broken(SENTIMENT), grpc_port=0)


# --- before the message is read -----------------------------------------------------------


async def send_half(app: FastAPI, metadata: tuple[tuple[str, str], ...]) -> str:
    """Return the code of a call whose message never comes, or ``waiting``."""
    async with grpc.aio.insecure_channel(app.state.gateway.grpc_address) as channel:
        method = channel.stream_unary(METHOD, request_serializer=None, response_deserializer=None)
        running = method(metadata=metadata)
        try:
            async with asyncio.timeout(1):
                await running
        except grpc.aio.AioRpcError as error:
            return error.code().name
        except TimeoutError:
            return "waiting"
        return "OK"


def test_a_caller_without_a_key_is_refused_before_its_message_is_read(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "alice")

    async def test(app: FastAPI) -> None:
        assert await send_half(app, ()) == "UNAUTHENTICATED"
        assert await send_half(app, (("x-api-key", key),)) == "waiting"

    run(test, FakeRuntime(SENTIMENT), grpc_port=0, api_keys_file=tmp_path / "keys.json")


def test_a_message_that_does_not_arrive_ends_its_call() -> None:
    async def test(app: FastAPI) -> None:
        assert await send_half(app, ()) == "DEADLINE_EXCEEDED"
        assert (await call(app, infer_request()))[0] == "OK"

    run(test, FakeRuntime(SENTIMENT), grpc_port=0, upload_timeout_seconds=0.1)


def test_a_large_message_is_taken_and_one_over_the_limit_is_not() -> None:
    async def test(app: FastAPI) -> None:
        request = infer_request()
        request.parameters["padding"].string_param = "x" * 3_000_000
        assert (await call(app, request))[0] == "OK"
        request.parameters["padding"].string_param = "x" * 5_000_000
        assert (await call(app, request))[0] == "RESOURCE_EXHAUSTED"

    run(test, FakeRuntime(SENTIMENT), grpc_port=0, max_body_bytes=4_000_000)
