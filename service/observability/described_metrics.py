"""A registry of metrics of this project, all of which the documentation lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class MetricDescription:
    """A metric as the documentation lists it.

    Attributes:
        name: The full name.
        kind: The type, in Prometheus' word.
        labels: The names of its labels.
        meaning: The help text.
    """

    name: str
    kind: str
    labels: Sequence[str]
    meaning: str


class DescribedMetrics:
    """Metrics in a registry of their own; names begin with ``omnivec2_``.

    Attributes:
        registry: The registry that a scrape reads.
        described: The descriptions of all metrics of this project, in the order of creation.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[MetricDescription] = []

    def counter(self, name: str, meaning: str, labels: Sequence[str]) -> Counter:
        """Add a counter, and return it.

        Args:
            name: The name after ``omnivec2_``.
            meaning: The help text.
            labels: The names of its labels, whose values must be bounded.
        """
        name = self._describe(name, "counter", labels, meaning)
        return Counter(name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str) -> Gauge:
        """Add a gauge without labels, and return it.

        Args:
            name: The name after ``omnivec2_``.
            meaning: The help text.
        """
        name = self._describe(name, "gauge", (), meaning)
        return Gauge(name, meaning, registry=self.registry)

    def histogram(
        self, name: str, meaning: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        """Add a histogram, and return it.

        Args:
            name: The name after ``omnivec2_``.
            meaning: The help text.
            labels: The names of its labels, whose values must be bounded.
            buckets: The upper bounds of its buckets.
        """
        name = self._describe(name, "histogram", labels, meaning)
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read at every scrape."""
        self.gauge(name, description).set_function(value)

    def limit(self, name: str, value: float) -> None:
        """Add the limit of a watched gauge, under its name with the prefix ``max_``."""
        self.gauge(f"max_{name}", f"Limit on omnivec2_{name}.").set(value)

    def add_collector(self, collector: Collector, *described: MetricDescription) -> None:
        """Add metrics that a collector makes at every scrape, and their descriptions."""
        self.registry.register(collector)
        self.described += described

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _describe(self, name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
        full = f"omnivec2_{name}"
        self.described.append(MetricDescription(full, kind, labels, meaning))
        return full
