"""Failures of tasks that run in a group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwrap_first_failure() -> Iterator[None]:
    """Raise the first failure of an ``asyncio.TaskGroup`` itself, not the group around it.

    ::

        with unwrap_first_failure():
            async with asyncio.TaskGroup() as group:
                ...
    """
    try:
        yield
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
