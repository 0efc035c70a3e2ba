"""Requests that a candidate runs too, after their answers: one at a time, and none under load."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)

_MOST_WAITING = 16
_MOST_BYTES = 32 * 2**20
"""The most requests, and bytes of their inputs, that are kept to be run."""


@dataclass(frozen=True)
class _Shadow:
    """A request to run: what runs it, what counts it as dropped, and its size."""

    run: Callable[[], Awaitable[None]]
    on_dropped: Callable[[str], None]
    nbytes: int


class ShadowRuns:
    """A queue of requests that is bounded, and empties only while there is time to spare.

    Args:
        has_spare_time: Whether the gateway can run more than it is asked for.
    """

    def __init__(self, has_spare_time: Callable[[], bool]) -> None:
        self._has_spare_time = has_spare_time
        self._waiting: deque[_Shadow] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def submit(
        self, run: Callable[[], Awaitable[None]], on_dropped: Callable[[str], None], nbytes: int
    ) -> None:
        """Run a request later, or drop it.

        Args:
            run: A call that runs it; what it raises is logged.
            on_dropped: A callback for the reason why it is not run: ``load`` or ``queue``.
            nbytes: The bytes that it holds.
        """
        if not self._has_spare_time():
            on_dropped("load")
            return
        if len(self._waiting) >= _MOST_WAITING or self._bytes + nbytes > _MOST_BYTES:
            on_dropped("queue")
            return
        self._waiting.append(_Shadow(run, on_dropped, nbytes))
        self._bytes += nbytes
        self._arrived.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop running requests; those that wait are forgotten."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait((worker,))
        self._waiting.clear()
        self._bytes = 0

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            shadow = self._waiting.popleft()
            try:
                if self._has_spare_time():
                    await shadow.run()
                else:
                    shadow.on_dropped("load")
            except Exception:
                # The caller has its answer. Whatever a comparison raises, for one a defect in a
                # candidate's outputs, it may not end the task that runs those of other requests.
                _LOG.exception("a candidate could not be compared")
            finally:
                self._bytes -= shadow.nbytes
