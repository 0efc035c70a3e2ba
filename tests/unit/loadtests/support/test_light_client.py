from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from loadtests.support.light_client import Post, send_posts
from loadtests.support.measured_gateway import Load

POST = Post("/predict/text/mood", b"hello", "text/plain")


def run(reply: Callable[[bytes], list[bytes]], clients: int = 2) -> tuple[Load, list[bytes]]:
    """Run clients against a server that answers each request with pieces of bytes."""
    requests: list[bytes] = []
    handlers: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(len(POST.body))
            requests.append(head + body)
            for piece in reply(head):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        handlers.append(handler)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def main() -> Load:
        server = await asyncio.start_server(quiet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await send_posts(port, POST, clients, 0.05)
        finally:
            server.close()
            await asyncio.gather(*handlers)

    return asyncio.run(main()), requests


def test_every_client_sends_the_request_until_the_time_is_over() -> None:
    load, requests = run(lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
    assert len(load.seconds) == len(requests) >= 2
    assert load.rate > 0
    assert set(requests) == {POST.encode()}


def test_an_answer_may_come_in_pieces() -> None:
    pieces = [b"HTTP/1.1 200 OK\r\nCont", b"ent-Length: 2\r\n\r\no", b"k"]
    load, requests = run(lambda _: pieces)
    assert len(load.seconds) == len(requests)


def test_an_answer_other_than_200_is_an_error() -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(RuntimeError, match="429 Too Many"):
        run(lambda _: [refusal])
