from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from omnivec2.errors import DeadlineExceededError, InvalidInputError, OverloadedError
from service.oip.grpc_messages import MessageReader


async def sent(*messages: bytes, after: float = 0.0) -> AsyncIterator[bytes]:
    await asyncio.sleep(after)
    for message in messages:
        yield message


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_the_message_of_a_call_is_read() -> None:
    async def test() -> None:
        assert await MessageReader(1, 5).read(sent(b"a")) == b"a"

    on_a_loop(test)


def test_a_call_without_a_message_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(InvalidInputError):
            await MessageReader(1, 5).read(sent())

    on_a_loop(test)


def test_a_message_that_does_not_arrive_in_time_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(DeadlineExceededError):
            await MessageReader(1, 0.01).read(sent(b"a", after=5))

    on_a_loop(test)


def test_slow_messages_do_not_keep_others_out_and_of_too_many_some_are_given_up() -> None:
    async def test() -> None:
        reader = MessageReader(2, 30)
        slow = []
        for _ in range(6):
            slow.append(asyncio.create_task(reader.read(sent(b"slow", after=20))))
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            assert await reader.read(sent(b"fast")) == b"fast"
        # A call that was given up ends in a later turn of the loop.
        ended, _ = await asyncio.wait(slow, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert ended
        for task in ended:
            with pytest.raises(OverloadedError, match="too slowly"):
                await task
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
        async with asyncio.timeout(5):
            assert await reader.read(sent(b"fast")) == b"fast"

    on_a_loop(test)
