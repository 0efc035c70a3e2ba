"""What goes along with a request through the gateway without being an argument of every call."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass


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


NO_REQUEST = RequestContext()
CURRENT: ContextVar[RequestContext] = ContextVar("request_context", default=NO_REQUEST)
"""Tasks started while a request is answered inherit its value."""
