"""A client that takes only what a service has left over: a batch beside its other callers.

Its requests are of the lowest priority class, which a service refuses as soon as others would have
to wait, and computes last. How many are under way at the same time follows from that: one more for
each round of answers, half as many after a refusal.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2

from omnivec2.errors import OmniVecError
from omnivec2_api.client import Client
from omnivec2_api.http_messages import LONGEST_WAIT_SECONDS, stated_wait
from service.access.priority import PRIORITY_HEADER, Priority

MOST_CONCURRENCY = 64
"""Requests under way at the same time when the service does nothing else."""

PATIENCE_SECONDS = 120.0
"""The longest time without any answer before the service is taken for gone."""

_REFUSED = 429
_MAY_COME_BACK = frozenset({502, 503})
_TOO_LATE, _MOST_LATE = 504, 3
"""An input that was too late in a busy moment is sent again, but not forever."""


class AdaptiveLimit:
    """The requests that may be under way: more while they are answered, half after a refusal.

    Args:
        most: The most there may ever be.
        clock: A clock in seconds.

    Attributes:
        value: The requests that may be under way now.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.value = min(2.0, float(most))
        self._most, self._clock = most, clock
        self._under_way = 0
        self._paused_until = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a place, and hold it until the block ends."""
        with self._changed:
            while (pause := self._paused_until - self._clock()) > 0 or not self._has_room():
                self._changed.wait(pause if pause > 0 else None)
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def grow(self) -> None:
        """Add a little after an answer: one more place for a round of all places."""
        with self._changed:
            self.value = min(float(self._most), self.value + 1.0 / self.value)
            self._changed.notify_all()

    def back_off(self, seconds: float) -> None:
        """Send nothing for some seconds, and half as much then; refusals in a pause count once."""
        with self._changed:
            now = self._clock()
            if now >= self._paused_until:
                self.value = max(1.0, self.value / 2)
            self._paused_until = max(self._paused_until, now + seconds)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._under_way < int(self.value)


class BackgroundClient(Client):
    """A client of a running service for work that can wait.

    A request that is refused for now is sent again until it is answered, however long the service
    is busy with others.

    Args:
        url: The address of the service.
        api_key: The API key, if the service requires one.
        concurrency: The most requests under way at the same time.
        patience: The longest time without any answer before the service is taken for gone, in
            seconds.
        transport: A transport of httpx, such as one for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        concurrency: int = MOST_CONCURRENCY,
        patience: float = PATIENCE_SECONDS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(
            url,
            api_key=api_key,
            concurrency=concurrency,
            headers={PRIORITY_HEADER: Priority.LOW.label},
            transport=transport,
        )
        self._limit = AdaptiveLimit(concurrency)
        self._patience = patience
        self._alive_at = time.monotonic()

    def _send(self, request: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Return the response to a request, which is sent again as long as that makes sense.

        Raises:
            OmniVecError: The service refuses it for good, or is gone.
        """
        late = 0
        for attempt in itertools.count():
            outcome: httpx2.Response | Exception
            with self._limit.place():
                try:
                    outcome = request()
                except (httpx2.TransportError, httpx2.InvalidURL) as error:
                    outcome = error
            if isinstance(outcome, httpx2.Response) and outcome.is_success:
                self._alive_at = time.monotonic()
                self._limit.grow()
                return outcome
            late += _status(outcome) == _TOO_LATE
            if not self._is_worth_another(outcome, late):
                # Nothing is sent again any more: the policy raises what the outcome stands for.
                self._policy.wait_after(self._policy.retries, outcome)
                raise OmniVecError(f"{self.url}: {outcome}")
            headers = outcome.headers if isinstance(outcome, httpx2.Response) else {}
            wait = min(stated_wait(headers, min(attempt, 6)), LONGEST_WAIT_SECONDS)
            self._limit.back_off(wait)
        raise AssertionError("unreachable")

    def _is_worth_another(self, outcome: httpx2.Response | Exception, late: int) -> bool:
        status = _status(outcome)
        if status == _REFUSED:
            self._alive_at = time.monotonic()
            return True
        if status == _TOO_LATE:
            return late < _MOST_LATE
        is_lost = isinstance(outcome, httpx2.NetworkError | httpx2.RemoteProtocolError)
        may_come_back = status in _MAY_COME_BACK or is_lost
        return may_come_back and time.monotonic() - self._alive_at < self._patience


def _status(outcome: httpx2.Response | Exception) -> int:
    return outcome.status_code if isinstance(outcome, httpx2.Response) else 0
