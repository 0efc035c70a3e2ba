"""Waiting until a condition holds, with a time after which a test fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.05


def wait_until(
    condition: Callable[[], object], what: str = "the condition holds", seconds: float = 60
) -> float:
    """Block until a condition holds, and return the seconds that it took.

    Args:
        condition: The condition, which is true or not.
        what: The condition in words, for the message of a failure.
        seconds: The longest time that it may take.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - started


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Let the event loop run until a condition holds.

    Raises:
        TimeoutError: It does not hold within the time.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
