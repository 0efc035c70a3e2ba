"""HTTP/1.1 as uvicorn speaks it, with limits on the head of a request.

uvicorn's parser (httptools) takes a head of any length and waits for it for ever. Here a
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
        max_header_bytes: longest head.
        header_seconds: time in which it must arrive, from its first byte or the connection's.
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
        self._receiving = True
        self._received = 0
        self._started = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and look at what it leaves incomplete."""
        if self.transport.is_closing():
            return
        if self._receiving:
            self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._receiving and self._received > self.max_header_bytes:
            self._refuse()
        elif self._head_timer is None and self._is_incomplete():
            self._expect()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._receiving = True

    def on_headers_complete(self) -> None:
        """A head is there: what it asks for begins, unless it was too long."""
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > self.max_header_bytes:
            # The parser is left in the middle: what it calls from now on must not be heard.
            self._refuse()
            raise _HeadTooLongError
        self._expect_nothing()
        self._receiving, self._started = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is there; on this connection the next bytes are another head's."""
        super().on_message_complete()
        self._receiving, self._received = True, 0
        self._expect_nothing()

    def send_400_response(self, msg: str) -> None:
        """Tell that it is no HTTP, unless something has been told already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _is_incomplete(self) -> bool:
        """Whether bytes were received that nobody but this protocol waits to be completed."""
        if self._receiving:
            return self._received > 0
        return self.cycle.response_complete

    def _refuse(self) -> None:
        self._expect_nothing()
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _expect(self) -> None:
        self._head_timer = self.loop.call_later(self.header_seconds, self._give_up)

    def _expect_nothing(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        # A pipelined head may wait for the answer to the one before it.
        if not self._started or self.cycle.response_complete:
            self.transport.close()


class _HeadTooLongError(Exception):
    """Stops the parser; it makes an error of its own of it."""


def limited(max_header_bytes: int, header_seconds: float) -> type[LimitedProtocol]:
    """The protocol with its limits set, since uvicorn makes the connections."""
    return type(
        "Limited",
        (LimitedProtocol,),
        {"max_header_bytes": max_header_bytes, "header_seconds": header_seconds},
    )
