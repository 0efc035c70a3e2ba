"""Prometheus metrics of jobs; a gateway without a store of jobs has none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import Counter, Histogram

_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


class JobMetrics:
    """The metrics of jobs: how they ended here, and how long that took.

    Args:
        counter: A function that makes a counter: (name, meaning, labels).
        histogram: A function that makes a histogram: (name, meaning, labels, buckets).
    """

    def __init__(
        self,
        counter: Callable[[str, str, Sequence[str]], Counter],
        histogram: Callable[[str, str, Sequence[str], Sequence[float]], Histogram],
    ) -> None:
        self._accepted = counter("jobs_accepted_total", "Jobs that this gateway took.", ())
        self._ended = counter(
            "jobs_ended_total",
            "Jobs that this gateway brought to their end, by state: done, failed, cancelled.",
            ("state",),
        )
        for state in ("done", "failed", "cancelled"):
            self._ended.labels(state)
        self._webhooks = counter(
            "job_webhooks_total", "Webhooks by outcome: delivered, failed.", ("outcome",)
        )
        for outcome in ("delivered", "failed"):
            self._webhooks.labels(outcome)
        self._seconds = histogram(
            "job_seconds", "From the acceptance of a job to its end.", (), _SECONDS
        )

    def observe_accepted(self) -> None:
        """Count a job that was accepted."""
        self._accepted.inc()

    def observe_ended(self, state: str, seconds: float) -> None:
        """Count a job that is over.

        Args:
            state: The final state.
            seconds: The time since it was accepted.
        """
        self._ended.labels(state).inc()
        self._seconds.observe(seconds)

    def observe_webhook(self, outcome: str) -> None:
        """Count a webhook that was ``delivered``, or ``failed`` for good."""
        self._webhooks.labels(outcome).inc()
