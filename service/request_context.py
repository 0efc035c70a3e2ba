"""The context of a request: what is known of it without being an argument of every call.

One ``ContextVar`` holds one ``RequestContext``. Tasks that are started while a request is answered
inherit it, and so do the host threads, so that every log line names its request. Code that learns
more about a request sets a changed copy (``dataclasses.replace``): what other tasks inherited does
not change under them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import JsonValue

from service.access.api_keys import Key
from service.access.priority import Priority

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, and no id of zeros.
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# Short and of harmless characters, because it ends up in logs and headers.
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Spans(Protocol):
    """A recorder of what a request spends its time on, if its trace is recorded."""

    def record_stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        """Record a stage that is over.

        Args:
            name: The name of the stage, as in ``Server-Timing``.
            started: The value of ``time.perf_counter()`` at its start.
            seconds: The length of the stage.
            model: The model or part it was for; empty if it was for none.
        """

    def stage(self, name: str, model: str) -> AbstractContextManager[None]:
        """Record a block as a stage; what is recorded within it lies below it."""

    def call(self, model: str, address: str) -> AbstractContextManager[Mapping[str, str]]:
        """Record a block that calls a server, and yield the headers to send along."""


class WorkMeter(Protocol):
    """A meter of the work of a request, read by the admission control while the work is done."""

    def expect_inputs(self, count: int) -> None:
        """Record how many inputs of the request will be prepared."""

    def record_tokens(self, tokens: int) -> None:
        """Add the tokens of one more prepared input."""

    def record_seconds(self, seconds: float) -> None:
        """Add the time that a thread, or the runtime, has worked for the request."""


class _NoWorkMeter:
    """The meter outside of admitted requests: it counts nothing."""

    def expect_inputs(self, count: int) -> None:
        pass

    def record_tokens(self, tokens: int) -> None:
        pass

    def record_seconds(self, seconds: float) -> None:
        pass


class ComputeBudget(Protocol):
    """The compute-seconds that the key of a request may use."""

    async def reserve(self, seconds: float) -> None:
        """Take what the request is expected to take.

        Raises:
            OverloadedError: The key has used up its compute-seconds.
        """

    def settle(self, seconds: float) -> None:
        """Replace what was reserved by what the request took."""


class ClientDisconnectedError(Exception):
    """The client closed the connection before it had its answer."""


class PartSink(Protocol):
    """A listener to the parts of a request's answer, while the rest is computed."""

    async def put(self, part: PartAnswer) -> None:
        """Take one part; it waits as long as the caller does not keep up.

        Raises:
            ClientDisconnectedError: The caller is gone.
        """


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """A part of an answer: that to one window of an input, or a text as far as it is written.

    Attributes:
        event: The kind of part.
        task: The task of the head that gives it.
        input: The place of the input in the request, from 0.
        index: The place of the window among those of the input, or the number of steps of the
            search before this one.
        count: The number of windows; None for a text, whose length is not known.
        answer: The part, in the form of the head's answer to one input.
    """

    event: Literal["window", "token"]
    task: str
    input: int
    index: int
    count: int | None
    answer: JsonValue


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request that the current task works for.

    Attributes:
        request_id: The id as echoed to the caller, and in log lines; empty outside of a request.
        key: The API key of the caller; None where none is required.
        traceparent: The W3C trace context of the caller; empty if it sent none.
        deadline: The value of ``time.monotonic()`` at which the time for the answer is over.
        spans: The recorder of the request's trace; None where traces are off.
        work: The meter of the work that is done for the request.
        priority: The class of the request.
        budget: The compute-seconds that it may use; None where no key is required.
        parts: The listener to parts of the answer; None if the caller waits for the whole.
    """

    request_id: str = ""
    key: Key | None = None
    traceparent: str = ""
    deadline: float = float("inf")
    spans: Spans | None = None
    work: WorkMeter = _NoWorkMeter()  # noqa: RUF009 -- it has no state
    priority: Priority = Priority.NORMAL
    budget: ComputeBudget | None = None
    parts: PartSink | None = None

    def identified(self, request_id: str) -> RequestContext:
        """Return this context with the id of its request."""
        # Not dataclasses.replace, which takes longer than all else that an id needs.
        return RequestContext(
            request_id,
            self.key,
            self.traceparent,
            self.deadline,
            self.spans,
            self.work,
            self.priority,
            self.budget,
            self.parts,
        )

    @property
    def seconds_left(self) -> float:
        """The time until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


REQUEST: ContextVar[RequestContext] = ContextVar("request", default=RequestContext())  # noqa: B039
"""The context of the request that is answered; frozen, so that the default can be shared."""


@contextmanager
def in_request(context: RequestContext) -> Iterator[RequestContext]:
    """Make a context the current one until the block ends."""
    token = REQUEST.set(context)
    try:
        yield context
    finally:
        REQUEST.reset(token)


def started(
    traceparent: str, seconds: float, work: WorkMeter, priority: Priority = Priority.NORMAL
) -> RequestContext:
    """Return the current request's context with all that is known once its work begins.

    Args:
        traceparent: The caller's header; one that is no trace context is left out.
        seconds: The time until the request's deadline.
        work: The meter of the work that is done for the request.
        priority: The class of the request.
    """
    valid = bool(traceparent) and _TRACEPARENT.fullmatch(traceparent) is not None
    now = REQUEST.get()
    return RequestContext(
        request_id=now.request_id,
        key=now.key,
        traceparent=traceparent if valid else "",
        deadline=time.monotonic() + seconds,
        spans=now.spans,
        work=work,
        priority=priority,
        budget=now.budget,
        parts=now.parts,
    )


def request_id_of(given: str) -> str:
    """Return the id that a caller gives its request if it is safe to log, else a new one."""
    return given if given and _SAFE_REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def trace_stage(name: str, model: str) -> AbstractContextManager[None]:
    """Record a block as a stage of the request's trace, if there is one; see ``Spans.stage``."""
    spans = REQUEST.get().spans
    return spans.stage(name, model) if spans else nullcontext()


def trace_call(model: str, address: str) -> AbstractContextManager[Mapping[str, str]]:
    """Record a block that calls a server, and yield the headers of the request's trace context.

    Where traces are off, these are the caller's own; see ``Spans.call``.
    """
    context = REQUEST.get()
    if context.spans:
        return context.spans.call(model, address)
    return nullcontext({TRACEPARENT: context.traceparent} if context.traceparent else {})
