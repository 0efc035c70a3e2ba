"""The work that is left for admitted requests, and how fast it is done."""

from __future__ import annotations

from collections.abc import Callable

from service.admission.cost_model import DrainRate


class RemainingWork:
    """The work that admitted requests still are, in seconds of one thread.

    Args:
        workers: The number of requests that are worked on side by side.
        clock: A clock in seconds.

    Attributes:
        seconds: The work that is left.
        drain_rate: The rate at which it is done.
    """

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._clock = clock
        self._ticked_at = clock()
        self._by_model: dict[str, float] = {}
        self._working = 0
        self.seconds = 0.0
        self.drain_rate = DrainRate(float(workers))

    def of_model(self, model: str) -> float:
        """Return the work that the requests to a model are."""
        return self._by_model.get(model, 0.0)

    def change(self, model: str, seconds: float) -> None:
        """Add to the work that is left, or take from it."""
        # Sums of many floats drift, and must not become negative.
        self.seconds = max(0.0, self.seconds + seconds)
        self._by_model[model] = max(0.0, self._by_model.get(model, 0.0) + seconds)

    def clear(self) -> None:
        """Forget what rounding has left when there are no requests."""
        self.seconds = 0.0
        self._by_model.clear()

    def begin_request(self) -> None:
        """Record that the work on a request begins."""
        self._tick()
        self._working += 1

    def end_request(self, *, begun: bool) -> None:
        """Record that a request leaves.

        Args:
            begun: Whether the work on it has begun.
        """
        self._tick()
        self._working -= begun

    def finish(self, seconds: float) -> None:
        """Count work that has been done."""
        self._tick()
        self.drain_rate.record_work(seconds)

    def drop(self, held: float, since: float) -> None:
        """Count the work of a request that failed as done, up to its share of the time it took.

        How much of it was done is not known; without it, many requests that fail would look like
        a service that does nothing.

        Args:
            held: The work that was left of it.
            since: The time at which the work on it began.
        """
        self._tick()
        share = (self._ticked_at - since) * self._workers / self._working
        self.drain_rate.record_work(min(held, share))

    def _tick(self) -> None:
        """Count the time since the last call as busy if a request was worked on."""
        now = self._clock()
        if self._working:
            self.drain_rate.record_busy_time(now - self._ticked_at)
        self._ticked_at = now
