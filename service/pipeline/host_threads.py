"""The threads in which inputs are decoded and prepared, and outputs post-processed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from service.pipeline.answers import Timings
from service.request_context import REQUEST
from service.server.thread_priorities import lower_thread_priority

T = TypeVar("T")


class HostThreads:
    """A pool of threads that leaves the processor to the event loop where both want it.

    Args:
        workers: The number of threads.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, "host", initializer=lower_thread_priority)

    async def run(self, timings: Timings, call: Callable[[], T]) -> T:
        """Return the result of a call made in a thread, as a part of the request.

        The wait for a thread counts as queueing; the time of the call counts as work of the
        request, also if it fails.
        """
        submitted = time.perf_counter()
        measured: list[float] = []

        def timed() -> tuple[float, T]:
            started = time.perf_counter()
            try:
                return started - submitted, call()
            finally:
                measured.append(time.perf_counter() - started)

        # In the context of the request: what is logged in the thread names it too.
        work = partial(copy_context().run, timed)
        try:
            waited, result = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            REQUEST.get().work.record_seconds(sum(measured))
        timings.add("queue", submitted, waited)
        return result

    async def run_or_inline(self, timings: Timings, call: Callable[[], T], *, inline: bool) -> T:
        """Return the result of a call, made in a thread or, if it is cheap, here; see ``run``."""
        if not inline:
            return await self.run(timings, call)
        started = time.perf_counter()
        try:
            return call()
        finally:
            REQUEST.get().work.record_seconds(time.perf_counter() - started)

    def close(self) -> None:
        """Stop the threads; what they run is finished, what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
