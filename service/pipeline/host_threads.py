"""The threads in which inputs are decoded and prepared, and outputs post-processed."""

from __future__ import annotations

import asyncio
import threading
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

_STUCK_SECONDS = 5.0
"""The time after a request's deadline at which a call for it counts as stuck: nobody waits for it,
and decoders look at the sizes of their inputs, so that none should take long."""

_POLL_SECONDS = 0.02


class HostThreads:
    """A pool of threads that leaves the processor to the event loop where both want it.

    Args:
        workers: The number of threads.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, "host", initializer=lower_thread_priority)
        self._workers = workers
        # Thread -> the deadline of the request that it works for.
        self._deadlines: dict[int, float] = {}

    async def run(self, timings: Timings, call: Callable[[], T]) -> T:
        """Return the result of a call made in a thread, as a part of the request.

        The wait for a thread counts as queueing; the time of the call counts as work of the
        request, also if it fails.
        """
        submitted = time.perf_counter()
        measured: list[float] = []

        def timed() -> tuple[float, T]:
            started = time.perf_counter()
            thread = threading.get_ident()
            self._deadlines[thread] = REQUEST.get().deadline
            try:
                return started - submitted, call()
            finally:
                del self._deadlines[thread]
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

    @property
    def stuck(self) -> int:
        """The number of threads that run a call long after the deadline of its request."""
        latest = time.monotonic() - _STUCK_SECONDS
        return sum(deadline < latest for deadline in list(self._deadlines.values()))

    @property
    def is_blocked(self) -> bool:
        """Whether all threads are stuck, so that no request can be answered."""
        return self.stuck >= self._workers

    def close(self, seconds: float = float("inf")) -> bool:
        """Stop the threads; what they run is finished, what waits is dropped.

        Args:
            seconds: The time to wait for what they run.

        Returns:
            Whether all have stopped.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        last = time.monotonic() + seconds
        while self._deadlines and time.monotonic() < last:
            time.sleep(_POLL_SECONDS)
        if self._deadlines:
            return False
        self._pool.shutdown(wait=True)
        return True
