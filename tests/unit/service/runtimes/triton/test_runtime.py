from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import (
    DeadlineExceededError,
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    RefusedTensorsError,
    StaleModelError,
)
from service.request_context import RequestContext, in_request
from service.runtimes.base import Model
from service.runtimes.triton.runtime import TritonRuntime
from service.settings import Settings
from tests.support.triton.fake_triton import EMBEDDING, Code, FakeTriton, fake_triton, whole
from tests.support.waiting import until

LETTERS = {"letters": np.array([[1.0], [2.0]], np.float32)}
NAME = EMBEDDING.name
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FULL = (Code.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size")


@asynccontextmanager
async def runtime_of(*servers: FakeTriton, **settings: Any) -> AsyncIterator[TritonRuntime]:
    """Make a runtime of these servers, not yet started; close it at the end."""
    addresses = tuple(server.address for server in servers)
    runtime = TritonRuntime(Settings(triton_endpoints=addresses, **settings))
    try:
        yield runtime
    finally:
        await runtime.close()


def run(test: Callable[[TritonRuntime, Model, FakeTriton], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a started runtime of one server of one model."""

    async def main() -> None:
        async with fake_triton(whole(EMBEDDING)) as server, runtime_of(server) as runtime:
            await runtime.start()
            await test(runtime, runtime.models()[NAME], server)

    asyncio.run(main())


def run_two(
    test: Callable[[TritonRuntime, Model, FakeTriton, FakeTriton], Coroutine[Any, Any, None]],
) -> None:
    """Run a test with a started runtime of two servers of the same model."""

    async def main() -> None:
        config = whole(EMBEDDING)
        async with (
            fake_triton(config) as one,
            fake_triton(config) as other,
            runtime_of(one, other) as runtime,
        ):
            await runtime.start()
            await test(runtime, runtime.models()[NAME], one, other)

    asyncio.run(main())


def test_a_batch_is_answered_row_by_row() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        answer = await runtime.infer(model, LETTERS)
        np.testing.assert_array_equal(answer.outputs["embedding"], [[1, 1], [2, 1]])
        assert answer.compute_seconds > 0

    run(test)


def test_tensors_travel_in_the_types_of_the_head_spec() -> None:
    # A plan takes int32 where the pre-processor makes uint16.
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        wide = {name: array.astype(np.float64) for name, array in LETTERS.items()}
        answer, expected = await runtime.infer(model, wide), await runtime.infer(model, LETTERS)
        for name, array in expected.outputs.items():
            np.testing.assert_array_equal(answer.outputs[name], array)

    run(test)


def within(seconds: float, **fields: str) -> AbstractContextManager[RequestContext]:
    """Set the context of a request that has so much time left."""
    return in_request(RequestContext(deadline=time.monotonic() + seconds, **fields))


def test_request_id_trace_and_deadline_are_passed_on() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        with within(2.0, request_id="me-1", traceparent=TRACE):
            await runtime.infer(model, LETTERS)
        (call,) = server.calls
        assert (call.model, call.version, call.request_id) == (NAME, "1", "me-1")
        assert call.metadata["traceparent"] == TRACE
        assert 1.5 < call.seconds_left < 2.1
        assert 1.5e6 < call.timeout_us <= 2e6

    run(test)


def test_without_a_trace_context_none_is_passed_on() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        with within(2.0):
            await runtime.infer(model, LETTERS)
        assert not any("traceparent" in call.metadata for call in server.calls)

    run(test)


def test_the_time_of_a_request_ends_at_its_deadline() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        server.delay_seconds = 5
        started = time.monotonic()
        with within(0.2), pytest.raises(DeadlineExceededError):
            await runtime.infer(model, LETTERS)
        assert time.monotonic() - started < 4
        with within(0.0), pytest.raises(DeadlineExceededError):
            await runtime.infer(model, LETTERS)
        assert len(server.calls) == 1

    run(test)


@pytest.mark.parametrize(
    ("code", "message", "kind", "tries"),
    [
        (*FULL, OverloadedError, 2),
        (Code.RESOURCE_EXHAUSTED, "too many streams", OverloadedError, 2),
        (Code.UNAVAILABLE, "[request id: 1] Request timeout expired", DeadlineExceededError, 1),
        (Code.UNAVAILABLE, "unknown model: 'm' has no available versions", StaleModelError, 2),
        (Code.UNAVAILABLE, "Socket closed", ModelNotReadyError, 2),
        (Code.INTERNAL, "Received RST_STREAM with error code 2", ModelNotReadyError, 2),
        (Code.INTERNAL, "onnx runtime error 6: out of memory", ModelNotReadyError, 1),
        (Code.INTERNAL, "onnx runtime error 2: an index", RefusedTensorsError, 1),
        (
            Code.INTERNAL,
            "ONNX Runtime: [ONNXRuntimeError] : 2 : INVALID_ARGUMENT : an index",
            RefusedTensorsError,
            1,
        ),
        (Code.INVALID_ARGUMENT, "unexpected shape", RefusedTensorsError, 1),
    ],
)
def test_every_failure_of_triton_has_a_meaning(
    code: Code, message: str, kind: type[OmniVecError], tries: int
) -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        one.always = other.always = (code, message)
        with pytest.raises(kind) as caught:
            await runtime.infer(model, LETTERS)
        assert type(caught.value) is kind
        assert one.address not in str(caught.value)
        assert len(one.calls) + len(other.calls) == tries

    run_two(test)


@pytest.mark.parametrize(
    "failure",
    [
        FULL,
        (Code.UNAVAILABLE, "Socket closed"),
        (Code.NOT_FOUND, "Request for unknown model: 'm' is not found"),
    ],
)
def test_what_one_server_cannot_do_another_does(failure: tuple[Code, str]) -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        one.always = failure
        for _ in range(40):
            await runtime.infer(model, LETTERS)
        assert len(other.calls) == 40
        assert one.calls

    run_two(test)


def test_requests_go_to_the_less_busy_server() -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        one.delay_seconds = 3.0
        slow = [asyncio.create_task(runtime.infer(model, LETTERS)) for _ in range(2)]
        await until(lambda: len(one.calls) + len(other.calls) == 2)
        for _ in range(10):
            await runtime.infer(model, LETTERS)
        await asyncio.gather(*slow)
        assert (len(one.calls), len(other.calls)) == (1, 11)

    run_two(test)


def test_idle_servers_get_about_as_many_requests() -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        for _ in range(60):
            await runtime.infer(model, LETTERS)
        assert min(len(one.calls), len(other.calls)) >= 10

    run_two(test)


def test_a_server_that_died_is_left_out_until_it_is_back() -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        await one.stop()
        for _ in range(40):
            await runtime.infer(model, LETTERS)
        assert runtime.endpoints_up == 1
        assert len(other.calls) == 40
        await one.start()
        await until(lambda: runtime.endpoints_up == 2, 3)
        for _ in range(40):
            await runtime.infer(model, LETTERS)
        assert one.calls

    run_two(test)


def test_a_server_that_dies_under_load_loses_no_request() -> None:
    async def test(
        runtime: TritonRuntime, model: Model, one: FakeTriton, other: FakeTriton
    ) -> None:
        one.delay_seconds = other.delay_seconds = 0.05
        calls = [asyncio.create_task(runtime.infer(model, LETTERS)) for _ in range(20)]
        await until(lambda: len(one.calls) == 10)
        await one.stop()
        assert len(await asyncio.gather(*calls)) == 20

    run_two(test)


def test_when_every_server_is_gone_the_answer_is_no_at_once() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        await server.stop()
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(ModelNotReadyError, match="no Triton server"):
                await runtime.infer(model, LETTERS)
            assert time.monotonic() - started < 5
        assert not (await runtime.health()).ready
        assert NAME in runtime.models()
        await server.start()
        await until(lambda: runtime.endpoints_up == 1, 3)
        assert runtime.models()[NAME] is model
        await runtime.infer(model, LETTERS)
        assert (await runtime.health()).ready

    run(test)


def test_an_answer_of_another_version_is_not_taken() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        server.answers_as = "2"
        with pytest.raises(StaleModelError):
            await runtime.infer(model, LETTERS)

    run(test)


def test_start_fails_until_a_server_has_a_model() -> None:
    async def main() -> None:
        async with fake_triton() as server, runtime_of(server) as runtime:
            with pytest.raises(ModelNotReadyError, match="no model of this project"):
                await runtime.start()
            await server.stop()
            with pytest.raises(ModelNotReadyError, match="no Triton server can be reached"):
                await runtime.start()
            server.models[NAME, "1"] = whole(EMBEDDING)
            await server.start()
            await until(lambda: runtime.endpoints_up == 1)
            await runtime.start()
            assert list(runtime.models()) == [NAME]

    asyncio.run(main())
