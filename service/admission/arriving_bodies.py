"""Requests whose bodies have not arrived: who sends slowly is counted apart from all others.

::

    admitted ─ body is there ───────────────────────────► worked on      max_requests places
        └───── after 1 s, or 0.1 s if places are short ─► counted apart  as many places again
                                                              │
                              more than that, or no bytes left ─► the slowest is refused

Else a few bodies a second, sent up to their last byte, would hold every place and refuse everybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

_SHORT_SECONDS = 0.1
"""The time after which a body may be set apart where places are short: one that follows its head at
once takes less."""

_STALLED_BYTES_PER_SECOND = 4096.0
"""A body that is slower than this may be given up for the bytes that it holds."""

_RATE_SECONDS = 1.0
"""The time constant of the rate at which a body arrives."""


class ArrivingBody:
    """The body of one request on its way.

    Args:
        now: The time at which the request was admitted, in seconds.

    Attributes:
        since: The time at which the request was admitted.
        is_apart: Whether it is counted apart.
        is_given_up: Whether the request is to be refused, although its body has begun to arrive.
        on_give_up: A callback for when that happens; None while nobody waits for the body.
    """

    def __init__(self, now: float) -> None:
        self.since = now
        self.is_apart = False
        self.is_given_up = False
        self.on_give_up: Callable[[], None] | None = None
        self._rate = 0.0
        self._rated_at = now

    def record_bytes(self, count: int, now: float) -> None:
        """Record that some bytes have arrived."""
        self._rate = self.rate(now) + count / _RATE_SECONDS
        self._rated_at = now

    def rate(self, now: float) -> float:
        """Return the bytes per second that have arrived of late."""
        return self._rate * math.exp((self._rated_at - now) / _RATE_SECONDS)

    def give_up(self) -> None:
        """Let whoever waits for the body refuse the request."""
        self.is_given_up = True
        if self.on_give_up is not None:
            self.on_give_up()


class ArrivingBodies:
    """All bodies on their way.

    Args:
        most_apart: The most that are counted apart.
    """

    def __init__(self, most_apart: int) -> None:
        self._most_apart = most_apart
        # In the order in which they were admitted.
        self._fresh: dict[ArrivingBody, None] = {}
        self._apart: dict[ArrivingBody, None] = {}

    @property
    def apart(self) -> int:
        """The number of bodies that are counted apart."""
        return len(self._apart)

    @property
    def fresh(self) -> int:
        """The number of the other bodies."""
        return len(self._fresh)

    def add(self, body: ArrivingBody) -> None:
        """Add a body, which is not apart yet."""
        self._fresh[body] = None

    def remove(self, body: ArrivingBody) -> None:
        """Remove a body that has arrived, or whose request has ended; idempotent."""
        self._fresh.pop(body, None)
        self._apart.pop(body, None)

    def overdue(self, now: float) -> Iterator[ArrivingBody]:
        """Yield the bodies that may be set apart where places are short; they may be removed."""
        for body in list(self._fresh):
            if now - body.since < _SHORT_SECONDS:
                return
            yield body

    def set_apart(self, body: ArrivingBody, now: float) -> ArrivingBody | None:
        """Count a body apart; return the slowest if there are too many now, to be given up."""
        self._fresh.pop(body, None)
        self._apart[body] = None
        body.is_apart = True
        if len(self._apart) <= self._most_apart:
            return None
        return min(self._apart, key=lambda other: other.rate(now))

    def stalled(self, now: float) -> Iterator[ArrivingBody]:
        """Yield the bodies that hardly arrive any more, the slowest first; they may be removed."""
        for body in sorted(self._apart, key=lambda other: other.rate(now)):
            if body.rate(now) >= _STALLED_BYTES_PER_SECOND:
                return
            yield body
