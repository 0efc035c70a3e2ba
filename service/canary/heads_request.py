"""A request as a canary needs it: something that any version of its heads can answer."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.pipeline.answers import RequestNotes, Timings
from service.pipeline.host_stages import Head

R = TypeVar("R")

Attempt = Callable[[Sequence[Head], Timings, RequestNotes], Awaitable[list[R]]]
"""Answers a request with some heads: one result per head, in their order."""
AnswerByServed = Callable[[], Awaitable[tuple[Sequence[Head], list[R]]]]
"""Answers it with the heads that are served, and returns those too."""


@dataclass(frozen=True)
class HeadsRequest(Generic[R]):
    """A request as it can be answered by any version of its heads.

    Attributes:
        heads: The heads as they are served.
        attempt: A call that answers it with some heads.
        timings: The timings of the request.
        notes: The notes on the request.
        inputs: The number of its inputs.
        nbytes: The bytes of its inputs.
        is_comparable: Whether results are answers as callers see them.
    """

    heads: Sequence[Head]
    attempt: Attempt[R]
    timings: Timings
    notes: RequestNotes
    inputs: int = 1
    nbytes: int = 0
    is_comparable: bool = True


def bytes_of(sizes: Sequence[int]) -> int:
    """Return the sum of the sizes of inputs; those that are not known count as nothing."""
    return sum(size for size in sizes if size < sys.maxsize)
