from __future__ import annotations

import asyncio

import pytest

from service.pipeline.task_groups import unwrap_first_failure


async def _fail() -> None:
    raise ValueError("the first")


async def _wait(cancelled: list[bool]) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled.append(True)
        raise


def test_the_first_failure_is_raised_itself_and_the_others_are_cancelled() -> None:
    cancelled: list[bool] = []

    async def run() -> None:
        with unwrap_first_failure():
            async with asyncio.TaskGroup() as group:
                group.create_task(_wait(cancelled))
                group.create_task(_fail())

    with pytest.raises(ValueError, match="the first"):
        asyncio.run(run())
    assert cancelled == [True]


def test_other_exceptions_pass_as_they_are() -> None:
    with pytest.raises(KeyError), unwrap_first_failure():
        raise KeyError("x")
