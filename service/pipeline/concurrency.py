"""Awaiting several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from omnivec2.task_groups import unwrap_first_failure

T = TypeVar("T")


_QUICK_BYTES = 64 * 2**10
"""Content that is read or written in the event loop: a thread would cost more than the work."""


async def off_loop(nbytes: int, call: Callable[[], T]) -> T:
    """The result of a call, in a thread if it handles many bytes."""
    return call() if nbytes <= _QUICK_BYTES else await asyncio.to_thread(call)


async def all_of(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    with unwrap_first_failure():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]
