"""Connections of the HTTP server without a socket: what is sent to them, and what they write."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.server.limited_protocol import LimitedProtocol, protocol_with_limits

LONGEST = 200
SECONDS = 0.05
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
REQUEST = HEAD + b"\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; closed by the protocol, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request at once, without reading its body; ``/slow`` takes its time."""
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * SECONDS)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the whole body and the names of the headers."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    body += b" " + b",".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


Steps = Callable[[LimitedProtocol, MemoryTransport], Awaitable[None]]


def converse(steps: Steps, app: Any = answer) -> MemoryTransport:
    """Run the steps on a new connection and return its transport as they left it."""

    async def main() -> MemoryTransport:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = protocol_with_limits(LONGEST, SECONDS)(config, ServerState(), {})
        transport = MemoryTransport()
        protocol.connection_made(transport)
        await steps(protocol, transport)
        ended = copy.copy(transport)
        protocol.connection_lost(None)  # uvicorn closes the transport here
        return ended

    return asyncio.run(main())


def send(
    chunks: Iterable[bytes],
    wait_seconds: float = 0.0,
    app: Any = answer,
    pause_seconds: float = 0.005,
) -> MemoryTransport:
    """Send the chunks one after the other, then wait."""

    async def steps(protocol: LimitedProtocol, transport: MemoryTransport) -> None:
        for chunk in chunks:
            protocol.data_received(chunk)
            await asyncio.sleep(pause_seconds)
        await asyncio.sleep(wait_seconds)

    return converse(steps, app)
