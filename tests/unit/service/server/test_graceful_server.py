"""What callers see of a server that shuts down; a real one on a free port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvicorn

from service.server import graceful_server
from service.server.graceful_server import GracefulServer
from service.server.limited_protocol import protocol_with_limits
from service.server.shutdown import ShutdownState

ANSWER_SECONDS = 0.3
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graceful_server, "_LINGER_SECONDS", 0.1)


class Running:
    """A server with the address it listens on.

    Attributes:
        server: The server.
        state: The state of its shutdown.
        listener: The socket it listens on.
        serving: The task that ends with the server.
    """

    def __init__(self, delay_seconds: float) -> None:
        self.state = ShutdownState()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            http=protocol_with_limits(1000, 5.0),
        )
        self.server = GracefulServer(config, self.state, delay_seconds)
        self.serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(ANSWER_SECONDS)
        body = b"rejecting" if self.state.rejecting else b"open"
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def connect(self) -> Caller:
        return Caller(*await asyncio.open_connection("127.0.0.1", self.port))


class Caller:
    """One connection of a caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self, path: bytes = b"/") -> str:
        """Return the body of the answer."""
        self.writer.write(GET % path)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return (await self.reader.readexactly(length)).decode()

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def running(delay_seconds: float = 0.0) -> AsyncIterator[Running]:
    """Start a server and wait for it to end with the block."""
    made = Running(delay_seconds)
    while not made.server.started:
        await asyncio.sleep(0.005)
    try:
        yield made
    finally:
        made.server.should_exit = True
        await asyncio.wait_for(made.serving, 5)


def check(steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(steps())


def test_after_a_signal_requests_are_answered_until_the_delay_is_over() -> None:
    async def steps() -> None:
        async with running(delay_seconds=0.3) as it:
            it.server.handle_exit(signal.SIGTERM, None)
            assert it.state.draining
            assert not it.state.rejecting
            caller = await it.connect()
            assert await caller.get() == "open"
            caller.close()
            assert not it.server.should_exit
            await asyncio.wait_for(it.serving, 5)
            assert it.state.listeners_closed.is_set()
            assert not it.server.force_exit

    check(steps)


def test_after_the_delay_no_new_connection_is_accepted() -> None:
    async def steps() -> None:
        async with running() as it:
            it.server.handle_exit(signal.SIGTERM, None)
            await asyncio.wait_for(it.state.listeners_closed.wait(), 5)
            with pytest.raises(ConnectionRefusedError):
                await it.connect()

    check(steps)


def test_a_connection_that_was_open_is_answered_while_the_server_lingers() -> None:
    async def steps() -> None:
        async with running() as it:
            caller = await it.connect()
            assert await caller.get() == "open"
            it.server.handle_exit(signal.SIGTERM, None)
            await asyncio.wait_for(it.state.listeners_closed.wait(), 5)
            assert await caller.get() == "open"
            await asyncio.wait_for(it.serving, 5)
            assert it.state.rejecting
            assert await caller.reader.read() == b""
            caller.close()

    check(steps)


def test_a_request_under_way_is_finished() -> None:
    async def steps() -> None:
        async with running() as it:
            caller = await it.connect()
            answer = asyncio.create_task(caller.get(b"/slow"))
            await asyncio.sleep(0.05)
            it.server.handle_exit(signal.SIGTERM, None)
            assert await asyncio.wait_for(answer, 5) == "rejecting"
            await asyncio.wait_for(it.serving, 5)
            caller.close()

    check(steps)


def test_a_connection_that_the_system_has_accepted_already_is_served_and_not_reset() -> None:
    async def steps() -> None:
        async with running() as it:
            # The event loop accepts no more, but the system still does, as in a burst.
            asyncio.get_running_loop().remove_reader(it.listener.fileno())
            caller = await it.connect()
            answer = asyncio.create_task(caller.get())
            it.server.handle_exit(signal.SIGTERM, None)
            assert await asyncio.wait_for(answer, 5) == "open"
            caller.close()

    check(steps)


def test_a_second_signal_ends_the_server_at_once() -> None:
    async def steps() -> None:
        async with running(delay_seconds=60) as it:
            it.server.handle_exit(signal.SIGTERM, None)
            it.server.handle_exit(signal.SIGTERM, None)
            assert it.server.force_exit
            await asyncio.wait_for(it.serving, 5)

    check(steps)


def test_an_interrupt_is_raised_again_when_the_server_has_ended() -> None:
    """A shell that runs a script must see that the program was interrupted."""

    async def steps() -> None:
        async with running() as it:
            it.server.handle_exit(signal.SIGINT, None)
            await it.serving

    # A shell starts what runs in the background with interrupts ignored, tests among it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(steps())
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_termination_ends_the_server_without_a_signal_of_its_own() -> None:
    async def steps() -> None:
        async with running() as it:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(it.serving, 5)

    check(steps)
