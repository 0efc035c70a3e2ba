"""Task groups that fail with one plain exception, and threads for what would hold up the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from service.pipeline.task_groups import unwrap_first_failure

T = TypeVar("T")

_INLINE_BYTES = 64 * 2**10
"""Content up to this size is parsed or written in the event loop, where a switch to a thread would
take longer than the work itself."""


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a task group that raises its first failure itself, not an exception group.

    The first failure cancels the other tasks of the group.
    """
    with unwrap_first_failure():
        async with asyncio.TaskGroup() as group:
            yield group


async def gather_or_cancel(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in the order of the calls; the first failure cancels the rest."""
    async with task_group() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


async def in_slices(calls: Sequence[Coroutine[Any, Any, T]], at_once: int) -> list[T]:
    """Return the results in the order of the calls, a number of which run at the same time.

    The first failure cancels the rest.
    """
    if len(calls) == 1:
        return [await calls[0]]
    results: list[T] = []
    try:
        for start in range(0, len(calls), at_once):
            results += await gather_or_cancel(calls[start : start + at_once])
    finally:
        # Those that never began would be warned of.
        for call in calls[len(results) + at_once :]:
            call.close()
    return results


async def in_thread_if_large(nbytes: int, call: Callable[[], T]) -> T:
    """Return the result of a call, made in a thread if it handles many bytes."""
    return call() if nbytes <= _INLINE_BYTES else await asyncio.to_thread(call)
