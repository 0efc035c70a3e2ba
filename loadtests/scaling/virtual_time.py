"""An event loop whose clock jumps to the next timer instead of waiting for it.

Code that sleeps, or sets timers, runs in it unchanged: minutes of it in seconds. Nothing in it may
wait for what is not in the loop, such as sockets or threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _NeverWaits(selectors.SelectSelector):
    """A selector that moves the clock of its loop instead of waiting.

    Attributes:
        now: The time of the clock, in seconds.
    """

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move the clock by the timeout, and return that nothing is ready.

        Raises:
            RuntimeError: There is no timer: what runs would wait forever.
        """
        if timeout is None:
            raise RuntimeError("nothing is left to happen in virtual time")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; its time begins at 0."""

    def __init__(self) -> None:
        self._virtual = _NeverWaits()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
