"""Prometheus metrics of one application, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.dataplane import Timings

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What an operator watches: traffic, latency per stage, batching, load."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "omnivec2_requests_total",
            "Answered requests for a model; unknown routes are labelled 'unknown'.",
            ("modality", "task", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "omnivec2_request_seconds",
            "Time from the head of a request to its answer.",
            ("modality", "task"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "omnivec2_stage_seconds",
            "Time per stage of a request: decode, preprocess, queue, compute, postprocess.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_rows = Histogram(
            "omnivec2_batch_rows",
            "Samples computed together.",
            ("model",),
            buckets=_ROWS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "omnivec2_batch_seconds",
            "Time to compute one batch.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def observe_request(self, modality: str, task: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(modality, task, str(status)).inc()
        self._seconds.labels(modality, task).observe(seconds)

    def observe_stages(self, timings: Timings) -> None:
        """Record how long the stages of an answered request took."""
        for stage, seconds in vars(timings).items():
            self._stages.labels(stage).observe(seconds)

    def observe_batch(self, model: str, rows: int, seconds: float) -> None:
        """Record a computed batch; safe in any thread."""
        self._batch_rows.labels(model).observe(rows)
        self._batch_seconds.labels(model).observe(seconds)

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Report a value that is read when the metrics are."""
        Gauge(f"omnivec2_{name}", description, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
