"""Bodies that are not read, because the headers were reason enough to refuse the request.

The server skips a small one, and the connection can be used again. A large one is not worth its
transfer, so the connection is closed; but a client that is still sending would find it broken
before it has read the response. So the response goes out first, and then the body is discarded
for a moment while the client reads.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.body import parse_length
from service.http.raw_headers import request_header, set_header

_SMALL_BYTES = 256 * 2**10
_LINGER_SECONDS = 1.0


class UnreadBodyMiddleware:
    """Middleware that closes the connection of a request whose long body was not read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or _is_small(scope):
            await self.app(scope, receive, send)
            return
        whole = closing = False
        # A client that waits for 100 Continue (curl does with large files) sends nothing now.
        is_sending = request_header(scope, b"expect") is None

        async def receive_and_watch() -> Message:
            nonlocal whole
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        async def discard_rest() -> None:
            try:
                async with asyncio.timeout(_LINGER_SECONDS):
                    while not whole:
                        await receive_and_watch()
            except TimeoutError:
                return

        async def send_closing(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and not whole:
                closing = True
                set_header(message, b"connection", b"close")
            if closing and is_sending and _is_last(message):
                await send({**message, "more_body": True})
                await discard_rest()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, receive_and_watch, send_closing)


def _is_small(scope: Scope) -> bool:
    """Whether there is no body, or one that is declared to be short."""
    length: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return False
        if name == b"content-length" and length is None:
            length = value
    if length is None:
        return True
    declared = parse_length(length.decode("latin-1"))
    return declared is not None and declared <= _SMALL_BYTES


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)
