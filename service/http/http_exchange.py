"""An exchange over HTTP: what its headers say, a client that hangs up, failures as problems."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import InvalidParameterError, NotedInputError, OmniVecError
from omnivec2.preprocess.notes import Note
from service.access.priority import PRIORITY_HEADER
from service.access.strictness import STRICT_HEADER, is_strict
from service.errors import CLIENT_CLOSED_REQUEST, problem_of
from service.gateway import Gateway
from service.http.body import Body, ByteHolder
from service.http.notes_header import NOTES_HEADER, notes_value
from service.http.raw_headers import header_text
from service.pipeline.answers import Timings
from service.pipeline.exchange import Exchange
from service.request_context import REQUEST, TRACEPARENT, ClientDisconnectedError
from service.runtimes.base import Model

T = TypeVar("T")

TIMEOUT_HEADER = "X-Request-Timeout"
CACHE_STATUS_HEADER = "Cache-Status"
"""The header of an answer that says whether it was kept (RFC 9211); only where answers are."""

_TIMEOUT = TIMEOUT_HEADER.lower().encode()
_PRIORITY = PRIORITY_HEADER.lower().encode()
_STRICT = STRICT_HEADER.lower().encode()
_TRACEPARENT = TRACEPARENT.encode()


class HttpExchange(Exchange):
    """The exchange of one HTTP request.

    Args:
        request: The request; nothing of its body has been read.
        route: The path of the route for the access log; empty if the router knows it.

    Attributes:
        gateway: The gateway of the application.
    """

    def __init__(self, request: Request, route: str = "") -> None:
        self.gateway: Gateway = request.app.state.gateway
        super().__init__(self.gateway.admission, self.gateway.metrics)
        self._request = request
        self._state = request.scope.setdefault("state", {})
        if route:
            self._state["route"] = route

    def open_for(self, models: Sequence[Model]) -> None:
        """Name the models in the access log, and open the exchange; see ``Exchange.open``."""
        self._state["model"] = ",".join(model.name for model in models)
        self.open([model.spec for model in models])

    async def respond(self, answer: Callable[[], Awaitable[Response]]) -> Response:
        """Return the response to the request, whether it succeeds or not, and count it once.

        Args:
            answer: A call that answers the request. What it raises becomes a problem document;
                a defect is left to the handler of the application.
        """
        try:
            response = await answer()
        except ClientDisconnectedError:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
        except OmniVecError as error:
            if isinstance(error, NotedInputError):
                self._note([str(note["code"]) for note in error.notes])
            response = problem_of(self._request, error)
        received = getattr(self._request.state, "received_bytes", 0)
        self.account(response.status_code, received, len(response.body))
        return response

    def is_strict(self) -> bool:
        """Whether notes on an input refuse the request: by its header, its key or the setting.

        Raises:
            InvalidParameterError: The header is neither true nor false.
        """
        header = header_text(self._request.scope, _STRICT)
        by_default = self.gateway.settings.strict_input
        return is_strict(header, REQUEST.get().key, by_default=by_default)

    def notes_headers(self, notes: Sequence[Note]) -> Mapping[str, str]:
        """Return the header of an answer's notes, once they are counted; none without notes."""
        if not notes:
            return {}
        self._note([note.code.value for note in notes])
        return {NOTES_HEADER: notes_value(notes)}

    def _note(self, codes: Sequence[str]) -> None:
        """Count notes, and name their codes in the access log."""
        self.record_notes(codes)
        self._state["notes"] = ",".join(f"{code}:{n}" for code, n in Counter(codes).items())

    def timeout_seconds(self) -> float:
        """Return the seconds that the answer may take; see ``parse_timeout_seconds``."""
        longest = self.gateway.settings.request_timeout_seconds
        return parse_timeout_seconds(header_text(self._request.scope, _TIMEOUT), longest)

    def asked_priority(self) -> str | None:
        """Return the priority class that the caller asks for; None if it asks for none."""
        return header_text(self._request.scope, _PRIORITY)

    def priority_headers(self) -> Mapping[str, str]:
        """Return the header that says which class a request got that asked for one."""
        return {} if self.asked_priority() is None else {PRIORITY_HEADER: self.priority.label}

    def body(self, ticket: ByteHolder) -> Body:
        """Return the body of the request, whose bytes count in a ticket, or before there is one.

        Raises:
            UnsupportedMediaTypeError: The body is compressed.
        """
        return Body(self._request, ticket, self.gateway.settings.upload_timeout_seconds)

    async def answer_unless_disconnected(self, call: Coroutine[Any, Any, T]) -> T:
        """Return the result of the call that answers the request; see ``Exchange.answer``."""
        traceparent = header_text(self._request.scope, _TRACEPARENT) or ""
        return await self.answer(call, traceparent, partial(_disconnected, self._request))


def parse_timeout_seconds(header: str | None, longest: float) -> float:
    """Return the seconds that an answer may take: what the caller asks for, up to the setting.

    Raises:
        InvalidParameterError: The header is not a positive number.
    """
    if header is None:
        return longest
    try:
        wanted = float(header)
    except ValueError:
        wanted = math.nan
    if not wanted > 0:
        raise InvalidParameterError(
            f"{TIMEOUT_HEADER}: expected a positive number of seconds", field=TIMEOUT_HEADER
        )
    return min(wanted, longest)


def answer_headers(models: Sequence[Model], timings: Timings) -> Mapping[str, str]:
    """Return the headers that say which models answered, and how long each stage took.

    ``Server-Timing`` is the W3C's, in milliseconds.
    """
    stages = vars(timings).items()
    return {
        "X-Model": ",".join(model.head_name for model in models),
        "X-Model-Version": ",".join(model.version for model in models),
        "Server-Timing": ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in stages),
    }


async def _disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
