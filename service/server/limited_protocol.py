"""uvicorn's HTTP/1.1 with limits on what surrounds a body: heads, chunks' framing and trailers.

uvicorn's parser (httptools) accepts a head of any length and waits for it for ever, and it takes
trailers without end. Here a head or a trailer section that is too long is answered with 431, and a
connection on which no head is complete in time is closed, as is one whose skipped body does not
end. Heads that could be understood in two ways are refused (``request_heads``).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.server.request_heads import fault_of_head, head_of_body, problem_answer

_HEAD_TOO_LONG = problem_answer(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too long"
)
_TRAILERS_TOO_LONG = problem_answer(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "what surrounds the chunks of the body, or follows them, is too long",
)

_FIELD_BYTES = 32
"""The bytes that a trailer counts beside its name and value: empty ones are not free either."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_header_bytes: The length of the longest head that is accepted, and of the longest
            trailer section.
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
        # Bytes since the last piece of the body, which may belong to chunks' sizes or trailers.
        self._framing_bytes = 0
        self._trailer_bytes = 0
        # While a new parser learns where the body of an upgrade request ends.
        self._is_repeating_head = False
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
        else:
            self._framing_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self.max_header_bytes:
            self._refuse(_HEAD_TOO_LONG)
        elif not self._in_head and self._framing_bytes > self.max_header_bytes:
            self._refuse_rest(_TRAILERS_TOO_LONG)
        elif self._head_timer is None and self._is_incomplete():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Mark the start of a head."""
        if self._is_repeating_head:
            return
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Add to the URL of the request."""
        if not self._is_repeating_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header to those of the request; a trailer is counted and dropped.

        Nothing here needs trailers, and added to the headers they could pass for them.
        """
        if self._is_repeating_head:
            return
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailer_bytes += len(name) + len(value) + _FIELD_BYTES
        if self._trailer_bytes > self.max_header_bytes:
            self._refuse_rest(_TRAILERS_TOO_LONG)
            raise _RefusedError

    def on_headers_complete(self) -> None:
        """Start the request of a complete head, unless the head is refused."""
        if self._is_repeating_head:
            return
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > self.max_header_bytes:
            # The parser stops in the middle: its further callbacks must be ignored.
            self._refuse(_HEAD_TOO_LONG)
            raise _RefusedError
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if fault := fault_of_head(version, method, self.headers):
            self._refuse(problem_answer(HTTPStatus.BAD_REQUEST, fault))
            raise _RefusedError
        self._cancel_head_timer()
        self._in_head, self._any_request = False, True
        self._framing_bytes = self._trailer_bytes = 0
        super().on_headers_complete()
        # Its task has not begun yet.
        self.cycle.transport = _AnswerTransport(self.transport, self.loop)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Give a piece of the body to the request."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark the end of a request: the next bytes belong to another head."""
        if self.parser.should_upgrade():
            return  # the parser takes the body for another protocol; see _ignore_upgrade
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        self._cancel_head_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer that this is not HTTP, unless the connection is closing already."""
        if not self.transport.is_closing():
            self._refuse(problem_answer(HTTPStatus.BAD_REQUEST, msg))

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            self._parse(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.transport.is_closing():
                return
            self.logger.warning("Invalid HTTP request received.")
            fault = f"this is not HTTP/1.1: {error}"
            if self._in_head:
                self.send_400_response(fault)
            else:
                self._refuse_rest(problem_answer(HTTPStatus.BAD_REQUEST, fault))

    def _ignore_upgrade(self) -> None:
        """Go on in HTTP/1.1, as RFC 9110 allows where a client offers another protocol.

        Java's HttpClient and ``curl --http2`` offer HTTP/2 with every request. The parser stops
        after the head of such a request; another one takes over in the same place.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._is_repeating_head = True
        try:
            self.parser.feed_data(head_of_body(self.headers))
        finally:
            self._is_repeating_head = False

    def _is_incomplete(self) -> bool:
        """Whether bytes have arrived that no running request will read."""
        if self._in_head:
            return self._head_bytes > 0
        return self.cycle.response_complete

    def _refuse(self, answer: bytes) -> None:
        """Refuse a head, and close; without an answer if one to an earlier request is due."""
        self._cancel_head_timer()
        if not self._any_request or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()

    def _refuse_rest(self, answer: bytes) -> None:
        """Refuse the rest of a request whose head was accepted, and close."""
        self._cancel_head_timer()
        if not (self.pipeline or self.cycle.response_started):
            self.transport.write(answer)
        # What the request's task writes from now on must not follow this answer.
        self.cycle.disconnected = True
        self.cycle.message_event.set()
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


class _RefusedError(Exception):
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
