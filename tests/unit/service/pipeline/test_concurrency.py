from __future__ import annotations

import asyncio
import threading

import pytest

from service.pipeline.concurrency import gather_or_cancel, in_thread_if_large, task_group


def test_results_come_in_the_order_of_the_calls() -> None:
    async def after(seconds: float, value: str) -> str:
        await asyncio.sleep(seconds)
        return value

    found = asyncio.run(gather_or_cancel([after(0.02, "slow"), after(0.0, "quick")]))
    assert found == ["slow", "quick"]


def test_the_first_failure_is_raised_plainly_and_cancels_the_rest() -> None:
    cancelled = False

    async def wait() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled = True
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("first")

    with pytest.raises(ZeroDivisionError, match="first") as caught:
        asyncio.run(gather_or_cancel([wait(), fail()]))
    assert cancelled
    assert not isinstance(caught.value.__cause__, BaseExceptionGroup)


def test_a_failure_in_the_block_of_a_task_group_is_raised_plainly() -> None:
    async def main() -> None:
        async with task_group() as group:
            group.create_task(asyncio.sleep(60))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


def test_a_task_group_that_is_cancelled_from_outside_is_cancelled() -> None:
    async def main() -> None:
        async with task_group() as group:
            group.create_task(asyncio.sleep(60))

    async def cancel() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


@pytest.mark.parametrize(("nbytes", "in_the_loop"), [(10, True), (10**6, False)])
def test_only_large_content_is_handled_in_a_thread(nbytes: int, in_the_loop: bool) -> None:
    thread = asyncio.run(_thread_of(nbytes))
    assert (thread == threading.get_ident()) is in_the_loop


async def _thread_of(nbytes: int) -> int:
    return await in_thread_if_large(nbytes, threading.get_ident)
