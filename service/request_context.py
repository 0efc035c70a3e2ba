"""What goes along with a request through the gateway without being an argument of every call."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, and no id of zeros.
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class RequestContext:
    """Of the request that the current task works for.

    Attributes:
        request_id: as echoed to the caller; empty outside of a request.
        traceparent: the caller's W3C trace context, if it sent one.
        deadline: ``time.monotonic()`` after which nobody waits for the answer.
    """

    request_id: str = ""
    traceparent: str = ""
    deadline: float = float("inf")

    @property
    def seconds_left(self) -> float:
        """Time until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being answered, from its first line to its last: log lines carry it."""

NO_REQUEST = RequestContext()
CURRENT: ContextVar[RequestContext] = ContextVar("request_context", default=NO_REQUEST)
"""Tasks started while a request is answered inherit its value."""


class Spans(Protocol):
    """Where a request says what it spent its time on, if its trace is recorded."""

    def stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        """Record a stage that is over.

        Args:
            name: of the stage, as in ``Server-Timing``.
            started: ``time.perf_counter()`` at its start.
            seconds: its length.
            model: the model or part it was for, if it was for one.
        """

    def work(self, name: str, model: str) -> AbstractContextManager[None]:
        """Record a block as a stage; what is recorded within it lies below it."""

    def call(self, model: str, address: str) -> AbstractContextManager[Mapping[str, str]]:
        """Record a block that asks a server; the value goes along as headers."""


SPANS: ContextVar[Spans | None] = ContextVar("spans", default=None)
"""Of the current request; none where traces are off. Inherited as ``CURRENT`` is."""


def working(name: str, model: str) -> AbstractContextManager[None]:
    """A block of the current request as a stage of its trace; see ``Spans.work``."""
    spans = SPANS.get()
    return spans.work(name, model) if spans else nullcontext()


def calling(model: str, address: str) -> AbstractContextManager[Mapping[str, str]]:
    """A block that asks a server; its value are the headers of the request's trace context.

    Where traces are off these are the caller's own; see ``Spans.call``.
    """
    if spans := SPANS.get():
        return spans.call(model, address)
    given = CURRENT.get().traceparent
    return nullcontext({TRACEPARENT: given} if given else {})


@contextmanager
def working_for(request_id: str, traceparent: str, seconds: float) -> Iterator[RequestContext]:
    """Make a request the current one until the block ends.

    Args:
        request_id: as echoed to the caller.
        traceparent: the caller's header; one that is not a trace context is left out.
        seconds: time until nobody waits for the answer any more.
    """
    valid = _TRACEPARENT.fullmatch(traceparent) is not None
    context = RequestContext(request_id, traceparent if valid else "", time.monotonic() + seconds)
    token = CURRENT.set(context)
    try:
        yield context
    finally:
        CURRENT.reset(token)
