from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from service.pipeline.answers import Timings
from service.pipeline.host_threads import HostThreads
from service.request_context import REQUEST, RequestContext, in_request
from tests.support.service_parts.service_fakes import RecordingMeter

T = TypeVar("T")


def run(call: Callable[[], T], meter: RecordingMeter, timings: Timings) -> T:
    async def main() -> T:
        threads = HostThreads(1)
        try:
            with in_request(RequestContext("r-1", work=meter)):
                return await threads.run(timings, call)
        finally:
            threads.close()

    return asyncio.run(main())


def test_a_call_runs_in_another_thread_in_the_context_of_its_request() -> None:
    thread, request_id = run(
        lambda: (threading.get_ident(), REQUEST.get().request_id), RecordingMeter(), Timings()
    )
    assert thread != threading.get_ident()
    assert request_id == "r-1"


def test_the_wait_for_a_thread_is_queueing_and_the_call_is_work() -> None:
    meter, timings = RecordingMeter(), Timings()
    run(lambda: time.sleep(0.05), meter, timings)
    assert 0.05 <= sum(meter.seconds) < 1
    assert 0 <= timings.queue < 0.05


def test_a_call_that_fails_was_work_too() -> None:
    meter = RecordingMeter()

    def fail() -> None:
        time.sleep(0.02)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail, meter, Timings())
    assert sum(meter.seconds) >= 0.02


def test_a_cheap_call_runs_in_the_event_loop_and_is_work_too() -> None:
    meter, timings = RecordingMeter(), Timings()

    async def main() -> int:
        threads = HostThreads(1)
        try:
            with in_request(RequestContext("r-1", work=meter)):
                return await threads.run_or_inline(timings, threading.get_ident, inline=True)
        finally:
            threads.close()

    assert asyncio.run(main()) == threading.get_ident()
    assert len(meter.seconds) == 1
    assert timings.queue == 0


# --- calls that do not come back ----------------------------------------------------------


def test_threads_that_work_on_long_after_their_deadline_are_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.pipeline.host_threads._STUCK_SECONDS", 0.05)
    release = threading.Event()

    async def main() -> None:
        threads = HostThreads(2)

        async def start(seconds: float) -> asyncio.Task[bool]:
            with in_request(RequestContext(deadline=time.monotonic() + seconds)):
                return asyncio.create_task(threads.run(Timings(), lambda: release.wait(10)))

        try:
            calls = [await start(0.05), await start(60)]
            await asyncio.sleep(0.02)
            assert (threads.stuck, threads.is_blocked) == (0, False)
            await asyncio.sleep(0.2)
            assert (threads.stuck, threads.is_blocked) == (1, False)
            calls[1].cancel()
            assert not threads.close(0.05)
            release.set()
            await asyncio.wait(calls)
            assert threads.close(5)
            assert threads.stuck == 0
        finally:
            release.set()

    asyncio.run(main())


def test_when_all_threads_are_stuck_nothing_can_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.pipeline.host_threads._STUCK_SECONDS", 0.01)
    release = threading.Event()

    async def main() -> None:
        threads = HostThreads(1)
        try:
            with in_request(RequestContext(deadline=time.monotonic())):
                call = asyncio.create_task(threads.run(Timings(), lambda: release.wait(10)))
            await asyncio.sleep(0.1)
            assert threads.is_blocked
            release.set()
            await call
            assert not threads.is_blocked
        finally:
            release.set()
            threads.close()

    asyncio.run(main())
