"""uvicorn's HTTP/1.1 with limits on the head of a request: its first line and headers.

uvicorn's parser (httptools) accepts a head of any length and waits for it for ever. Here a
head that is too long is answered with 431, and a connection on which none is complete in
time is closed, as is one whose skipped body does not end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_BODY = b'{"title":"Request header fields too large","status":431,"error":"the head is too long"}'

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_header_bytes: The length of the longest head that is accepted.
        header_seconds: The time in which a head must arrive, counted from its first byte, or
            from the start of the connection.
    """

    max_header_bytes: int
    header_seconds: float

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = True
        self._head_bytes = 0
        self._any_request = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes, then check the limits of what is still incomplete."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self.max_header_bytes:
            self._reject()
        elif self._head_timer is None and self._is_incomplete():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Mark the start of a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Start the request of a complete head, unless the head is too long."""
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > self.max_header_bytes:
            # The parser stops in the middle: its further callbacks must be ignored.
            self._reject()
            raise _HeadTooLongError
        self._cancel_head_timer()
        self._in_head, self._any_request = False, True
        super().on_headers_complete()
        # Its task has not begun yet.
        self.cycle.transport = _AnswerTransport(self.transport, self.loop)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Mark the end of a request: the next bytes belong to another head."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        self._cancel_head_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer that this is not HTTP, unless the connection is closing already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _is_incomplete(self) -> bool:
        """Whether bytes have arrived that no running request will read."""
        if self._in_head:
            return self._head_bytes > 0
        return self.cycle.response_complete

    def _reject(self) -> None:
        self._cancel_head_timer()
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_seconds, self._on_head_timeout)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        # A pipelined head may wait for the answer to the one before it.
        if not self._any_request or self.cycle.response_complete:
            self.transport.close()


class _AnswerTransport:
    """The transport of one answer: what is written in one step of its task goes out in one piece.

    uvicorn writes the head and the body of an answer apart, which is a system call each, and
    wakes the client up for a head without a body.

    Args:
        transport: The transport of the connection.
        loop: The event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write data: what comes first is held until more comes, or until the task waits."""
        if self._held is None:
            self._held = data
            self._loop.call_soon(self._flush)
            return
        if self._held:
            data, self._held = self._held + data, b""
        self._transport.write(data)

    def close(self) -> None:
        """Close the connection once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closing or closed."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)


class _HeadTooLongError(Exception):
    """Stops the parser, which turns it into an error of its own."""


def protocol_with_limits(max_header_bytes: int, header_seconds: float) -> type[LimitedProtocol]:
    """Make a class with its limits set, since uvicorn makes the connections.

    Args:
        max_header_bytes: The length of the longest head that is accepted.
        header_seconds: The time in which a head must arrive.
    """
    return type(
        "ConfiguredProtocol",
        (LimitedProtocol,),
        {"max_header_bytes": max_header_bytes, "header_seconds": header_seconds},
    )
