"""In which pieces a connection writes an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.server.limited_protocol import protocol_with_limits
from tests.support.requests.socketless_connections import (
    LONGEST,
    REQUEST,
    SECONDS,
    MemoryTransport,
    answer,
)


class CountingTransport(MemoryTransport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.pieces.append(bytes(data))


def pieces_of(app: Any, request: bytes = REQUEST) -> list[bytes]:
    """Return what a connection writes while ``app`` answers one request."""

    async def main() -> list[bytes]:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = protocol_with_limits(LONGEST, SECONDS)(config, ServerState(), {})
        transport = CountingTransport()
        protocol.connection_made(transport)
        protocol.data_received(request)
        while protocol.tasks:
            await asyncio.wait(protocol.tasks)
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return transport.pieces

    return asyncio.run(main())


def test_the_head_and_the_body_of_an_answer_are_written_in_one_piece() -> None:
    (piece,) = pieces_of(answer)
    assert piece.startswith(b"HTTP/1.1 200 ")
    assert piece.endswith(b"\r\n\r\nok")


def test_a_head_goes_out_at_once_if_its_body_takes_time() -> None:
    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"k"})

    head, *body = pieces_of(streaming)
    assert head.endswith(b"\r\n\r\n")
    assert body == [b"o", b"k"]


def test_an_answer_without_a_body_is_written() -> None:
    async def empty(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    assert b"".join(pieces_of(empty)).startswith(b"HTTP/1.1 204 ")


def test_a_client_that_waits_for_100_continue_gets_it_before_the_answer() -> None:
    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(scope, receive, send)

    request = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    written = b"".join(pieces_of(reading, request))
    assert written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


def test_a_failure_after_the_head_closes_the_connection_once_the_head_is_written() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise ZeroDivisionError

    (head,) = pieces_of(failing)
    assert head.endswith(b"\r\n\r\n")
