"""Priority classes: what a caller asks for, at most what its key allows.

A class decides which share of the queue a request may use (``service.admission``) and who is
computed first among those that wait (the embedded runtime's batcher, Triton's priority levels).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from omnivec2.errors import InvalidParameterError

PRIORITY_HEADER = "X-Priority"
"""The header, and in small letters the gRPC metadata, that names a request's class."""

PriorityName = Literal["high", "normal", "low"]


class Priority(IntEnum):
    """A class of requests; the numbers are Triton's levels, of which 1 is the most urgent."""

    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def label(self) -> str:
        """The name that callers and metrics use."""
        return self.name.lower()


_BY_NAME = {priority.label: priority for priority in Priority}


def granted_priority(asked: str | None, highest: PriorityName | None) -> Priority:
    """Return the class of a request.

    Args:
        asked: The class that the caller asks for; None means normal.
        highest: The highest class that its key allows; None where no key is required, and any
            class is.

    Raises:
        InvalidParameterError: There is no such class.
    """
    priority = Priority.NORMAL
    if asked is not None:
        known = _BY_NAME.get(asked.strip().lower())
        if known is None:
            raise InvalidParameterError(
                f"{PRIORITY_HEADER}: expected high, normal or low",
                field=PRIORITY_HEADER,
                known=list(_BY_NAME),
            )
        priority = known
    return priority if highest is None else max(priority, _BY_NAME[highest])
