"""A request that is answered in events: its task, what it sends, and how it ends.

The task answers the request as if there were no stream; the exchange admits it, keeps its deadline,
watches its client and counts it. Parts that the pipeline gives meanwhile, and the response at its
end, become events. Until the first of them the response is not begun, so that a request which is
refused has the status that it has without a stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import OUR_FAULT, problem
from service.http.http_exchange import HttpExchange
from service.http.raw_headers import header_text
from service.http.streams.accepted_events import EVENT_STREAM, accepts_events
from service.http.streams.event_stream import EventStream
from service.request_context import REQUEST, in_request

_LOG = logging.getLogger(__name__)

_HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No cache may keep a stream, and nginx may not buffer it."""

_LAST_SECONDS = 10.0
"""The time after a request's deadline in which a client must have read the rest of its stream."""


async def respond_as_accepted(
    request: Request, exchange: HttpExchange, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """Return the response to a request: in events if its ``Accept`` asks for them.

    Args:
        request: The request.
        exchange: The exchange of the request.
        answer: A call that answers the request; see ``HttpExchange.respond``.
    """
    if not accepts_events(header_text(request.scope, b"accept")):
        return await exchange.respond(answer)
    return await StreamedAnswer(request, exchange, answer).begin()


class StreamedAnswer(Response):
    """The response to a request that is answered in events.

    Args:
        request: The request.
        exchange: The exchange of the request.
        answer: A call that answers the request.
    """

    media_type = EVENT_STREAM

    def __init__(
        self, request: Request, exchange: HttpExchange, answer: Callable[[], Awaitable[Response]]
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._exchange = exchange
        self._keep_alive_seconds = exchange.gateway.settings.stream_keep_alive_seconds
        self._events = EventStream(exchange.gateway.metrics.observe_stream_event)
        self._task = self._start(answer)

    def _start(self, answer: Callable[[], Awaitable[Response]]) -> asyncio.Task[Response]:
        async def respond() -> Response:
            try:
                return await self._exchange.respond(answer)
            finally:
                self._events.close()

        # The task inherits the context in which it is made.
        with in_request(replace(REQUEST.get(), parts=self._events)):
            return asyncio.create_task(respond())

    async def begin(self) -> Response:
        """Return this response once it has something to send; an earlier failure has its own.

        After the time for a comment it begins all the same, so that nobody in between thinks that
        the connection is dead; but never before the request's body is read.
        """
        try:
            while not await self._events.wait(self._keep_alive_seconds):
                if self._exchange.has_begun:
                    return self
            if self._events.has_events:
                return self
            response = await self._task
        except BaseException:
            self._task.cancel()
            raise
        return self if response.status_code == HTTPStatus.OK else response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events as they come; a client that does not read them is given up."""
        try:
            async with asyncio.timeout(self._exchange.seconds_left + _LAST_SECONDS):
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                while event := await self._events.next_event(self._keep_alive_seconds):
                    await _send_part(send, event)
                if last := await self._last_event():
                    await _send_part(send, last)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            _LOG.warning("a client did not read its stream in time; the connection is closed")
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _last_event(self) -> bytes:
        """Return the event of the whole answer, or of the failure; empty if nobody is there."""
        try:
            response = await self._task
        except Exception:
            # The response has begun, so that the application's own handler comes too late: whatever
            # it is, the client must be told, since a stream that just ends looks like an answer.
            _LOG.exception("a streamed request failed")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            response = problem(self._request, status, status.phrase, OUR_FAULT)
        name, data = "error", bytes(response.body)
        if response.status_code == HTTPStatus.OK:
            name, data = "answer", _with_headers(response)
        elif not data:
            return b""
        self._events.add(name, data)
        return await self._events.next_event(self._keep_alive_seconds)


def _with_headers(response: Response) -> bytes:
    """Return the data of the last event: the answer, and the headers that it has otherwise."""
    left_out = {"content-length", "content-type"}
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in response.raw_headers
        if name.decode("latin-1") not in left_out
    }
    # The body is JSON in one line already.
    return b'{"answer":%b,"headers":%b}' % (bytes(response.body), to_json(headers))


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})
