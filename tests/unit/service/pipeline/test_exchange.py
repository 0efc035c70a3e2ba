"""One exchange without a transport: how it can end, and that it counts once however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from omnivec2.errors import (
    DeadlineExceededError,
    ForbiddenError,
    InvalidInputError,
    OverloadedError,
)
from service.access.api_keys import Key
from service.admission.admission_control import AdmissionControl
from service.observability.gateway_metrics import Metrics
from service.pipeline.answers import Timings
from service.pipeline.exchange import Exchange
from service.request_context import (
    REQUEST,
    ClientDisconnectedError,
    RequestContext,
    in_request,
)
from tests.support.service_parts.service_fakes import letters_spec

ONE = letters_spec(task="one")
OTHER = letters_spec(task="other")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Service:
    """The admission control and metrics that exchanges share."""

    def __init__(self, max_requests: int = 10) -> None:
        self.admission = AdmissionControl(max_requests, 1000)
        self.metrics = Metrics()

    def exchange(self) -> Exchange:
        return Exchange(self.admission, self.metrics)

    def counts(self, metric: str) -> dict[tuple[str, ...], float]:
        """Label values in the order of their names -> value, of those that are not 0."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"omnivec2_{metric}" and sample.value
        }

    async def answer(
        self,
        call: Callable[[], Awaitable[str]],
        *,
        seconds: float = 5.0,
        leaves: bool = False,
        exchange: Exchange | None = None,
    ) -> str:
        """Run one exchange as a transport does whose failures have no body."""
        exchange = exchange or self.exchange()

        async def answer() -> str:
            return await call()

        async def disconnected() -> None:
            await asyncio.sleep(0 if leaves else 60)

        try:
            exchange.open([ONE])
            async with exchange.admitted("file", 4, seconds) as ticket:
                ticket.hold_bytes(4)
                result = await exchange.answer(answer(), TRACE, disconnected)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.account(200, 4, 2)
        return result


async def wait() -> str:
    await asyncio.sleep(60)
    return "late"


def test_an_answer_counts_once_with_its_bytes() -> None:
    async def main() -> None:
        service = Service()

        async def call() -> str:
            return "ok"

        assert await service.answer(call) == "ok"
        assert service.counts("requests_total") == {("image", "200", "one"): 1}
        assert service.counts("request_bytes_sum") == {("image", "one"): 4}
        assert service.counts("response_bytes_sum") == {("image", "one"): 2}
        assert (service.admission.requests, service.admission.bytes) == (0, 0)

    asyncio.run(main())


def test_a_request_that_is_not_admitted_counts_as_refused_and_does_nothing() -> None:
    async def main() -> None:
        service = Service(max_requests=1)
        called = False

        async def call() -> str:
            nonlocal called
            called = True
            return "ok"

        running = asyncio.create_task(service.answer(wait))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await service.answer(call)
        assert not called
        assert service.counts("requests_total") == {("image", "429", "one"): 1}
        assert service.counts("rejections_total") == {("requests",): 1}
        running.cancel()
        await asyncio.wait([running])
        assert service.admission.requests == 0

    asyncio.run(main())


def test_a_request_whose_deadline_passes_is_cancelled_and_counts_as_504() -> None:
    async def main() -> None:
        service = Service()
        with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.02 s"):
            await service.answer(wait, seconds=0.02)
        assert service.counts("requests_total") == {("image", "504", "one"): 1}
        assert service.admission.requests == 0

    asyncio.run(main())


def test_the_work_for_a_client_that_is_gone_is_cancelled_and_counts_as_499() -> None:
    async def main() -> None:
        service = Service()
        cancelled = asyncio.Event()

        async def call() -> str:
            try:
                return await wait()
            finally:
                cancelled.set()

        with pytest.raises(ClientDisconnectedError):
            await service.answer(call, leaves=True)
        await asyncio.wait_for(cancelled.wait(), 1)
        assert service.counts("requests_total") == {("image", "499", "one"): 1}
        assert service.counts("response_bytes_count") == {}
        assert service.admission.requests == 0

    asyncio.run(main())


def test_a_request_whose_task_is_cancelled_counts_as_499() -> None:
    async def main() -> None:
        service = Service()
        task = asyncio.create_task(service.answer(wait))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert service.counts("requests_total") == {("image", "499", "one"): 1}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (InvalidInputError("wrong"), "422"),
        (OverloadedError("full", reason="queue"), "429"),
        (ZeroDivisionError("a defect"), "500"),
    ],
)
def test_a_failure_is_raised_as_it_is_and_counts_once(failure: Exception, status: str) -> None:
    async def main() -> None:
        service = Service()

        async def call() -> str:
            raise failure

        with pytest.raises(type(failure)) as caught:
            await service.answer(call)
        assert caught.value is failure
        assert service.counts("requests_total") == {("image", status, "one"): 1}
        assert service.counts("request_seconds_count") == {("image", "one"): 1}
        rejected = {("queue",): 1.0} if status == "429" else {}
        assert service.counts("rejections_total") == rejected

    asyncio.run(main())


def test_a_request_to_an_unknown_model_counts_for_no_model() -> None:
    service = Service()
    service.exchange().account(404, 0, 10)
    assert service.counts("requests_total") == {("unknown", "404", "unknown"): 1}


def test_every_task_counts_and_the_stages_and_bytes_count_for_all_together() -> None:
    service = Service()
    exchange = service.exchange()
    exchange.open([ONE, OTHER])
    exchange.record_stages(Timings(compute=0.5))
    exchange.account(200, 3, 5)
    assert service.counts("requests_total") == {
        ("image", "200", "one"): 1,
        ("image", "200", "other"): 1,
    }
    assert service.counts("request_bytes_sum") == {("image", "several"): 3}
    assert service.counts("stage_seconds_sum") == {("image", "compute", "several"): 0.5}


def test_a_key_opens_only_its_own_heads_and_a_refusal_counts_for_the_head() -> None:
    service = Service()
    exchange = service.exchange()
    key = Key(name="alice", sha256="0" * 64, heads=(OTHER.route,))
    with in_request(RequestContext(key=key)), pytest.raises(ForbiddenError) as refused:
        exchange.open([ONE])
    exchange.fail(refused.value)
    assert service.counts("requests_total") == {("image", "403", "one"): 1}
    assert service.counts("rejections_total") == {("forbidden",): 1}


def test_the_work_on_an_answer_knows_its_deadline_trace_and_meter() -> None:
    async def main() -> None:
        service = Service()
        seen: list[RequestContext] = []

        async def call() -> str:
            seen.append(REQUEST.get())
            return "ok"

        with in_request(RequestContext("r-1")):
            await service.answer(call)
            assert REQUEST.get() == RequestContext("r-1")
        (context,) = seen
        assert (context.request_id, context.traceparent) == ("r-1", TRACE)
        assert 4 < context.seconds_left <= 5
        context.work.record_seconds(0.0)

    asyncio.run(main())


def test_a_request_that_is_answered_at_once_does_not_wait_for_its_client_to_hang_up() -> None:
    async def main() -> None:
        service = Service()
        exchange = service.exchange()
        asked = False

        async def call() -> str:
            return "ok"

        async def disconnected() -> None:
            nonlocal asked
            asked = True

        exchange.open([ONE])
        async with exchange.admitted("file", 4, 5.0):
            assert await exchange.answer(call(), "", disconnected) == "ok"
        await asyncio.sleep(0.03)
        assert not asked

    asyncio.run(main())


def test_a_client_that_is_gone_does_not_hide_that_the_task_itself_is_cancelled() -> None:
    async def main() -> None:
        service = Service()
        running = asyncio.Event()

        async def call() -> str:
            running.set()
            try:
                await wait()
            finally:
                # The server stops at the same time.
                task.cancel()
            return "late"

        task = asyncio.create_task(service.answer(call, leaves=True))
        await running.wait()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
