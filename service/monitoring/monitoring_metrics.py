"""Prometheus metrics of the payload log, of feedback and of drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from omnivec2.spec import HeadSpec
from service.monitoring.drift.drift_monitor import DriftReading
from service.monitoring.feedback.truth import Outcome
from service.observability.described_metrics import MetricDescription
from service.observability.gateway_metrics import Metrics
from service.observability.live_accuracy import LABELS, MEANING, NAME, live_accuracy

_ROUTE = ("modality", "task")
_EVENT_OUTCOMES = ("written", "dropped", "failed", "withheld")

_DRIFT_GAUGES: Sequence[tuple[str, str, Callable[[DriftReading], float | None]]] = (
    (
        "drift_distance",
        "How far the last sampled inputs of a head are, together, from those it was validated on.",
        lambda reading: reading.distance,
    ),
    (
        "drift_alert_level",
        "The omnivec2_drift_distance that a head exceeds by chance once in a thousand windows.",
        lambda reading: reading.level,
    ),
    (
        "score_psi",
        "Population stability index of the last sampled scores of a head.",
        lambda reading: reading.stability,
    ),
    (
        "score_psi_alert_level",
        "The omnivec2_score_psi that is of concern: 0.25, or more where chance alone reaches that.",
        lambda reading: reading.stability_level,
    ),
    (
        "drift_rows",
        "Rows of a head that drift has sampled.",
        lambda reading: reading.rows,
    ),
)
"""Name of a gauge after ``omnivec2_``, what it means, and how it is read."""


class MonitoringMetrics:
    """The metrics of this room, added to those of a gateway.

    Args:
        metrics: The metrics of the gateway.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def events(self) -> Callable[[str, int], None]:
        """Add the counter of events of the payload log; return its callback."""
        counter = self._metrics.counter(
            "payload_events_total",
            "Events of the payload log: written, dropped (the queue was full), failed (the sink or"
            " the redaction), withheld (the redaction's own code returned none).",
            ("outcome",),
        )
        series = {outcome: counter.labels(outcome) for outcome in _EVENT_OUTCOMES}
        return lambda outcome, count: series[outcome].inc(count)

    def skipped(self) -> Counter:
        """Add the counter of sampled requests that were not looked at, and return it."""
        return self._metrics.counter(
            "samples_skipped_total",
            "Sampled requests that were left out because too many waited to be looked at.",
            (),
        )

    def feedback(self) -> Callable[[HeadSpec, Outcome], None]:
        """Add the counters of feedback; return the callback for an outcome."""
        total = self._metrics.counter(
            "feedback_total",
            "Samples that a true label was given for: correct, incorrect, or measured (numbers).",
            (*_ROUTE, "outcome"),
        )
        errors = self._metrics.counter(
            "feedback_absolute_error_total",
            "Sum of the absolute errors of measured samples, in the unit of the target.",
            (*_ROUTE, "target"),
        )
        described = MetricDescription(NAME, "gauge", LABELS, MEANING)
        self._metrics.add_collector(_LiveAccuracy(total), described)

        def count(spec: HeadSpec, outcome: Outcome) -> None:
            total.labels(spec.modality.value, spec.task, outcome.word).inc()
            for target, error in outcome.errors.items():
                errors.labels(spec.modality.value, spec.task, target).inc(error)

        return count

    def drift(self, readings: Callable[[], Iterable[DriftReading]]) -> None:
        """Add the gauges of drift, which are read at a scrape."""
        collector = _DriftGauges(readings)
        self._metrics.add_collector(collector, *collector.DESCRIPTIONS)


class _LiveAccuracy(Collector):
    """The live accuracy of each head; of numbers there is the error."""

    def __init__(self, total: Counter) -> None:
        self._total = total

    def collect(self) -> Iterable[Metric]:
        """Collect the shares from the counter."""
        gauge = live_accuracy(self._total.collect())
        return () if gauge is None else (gauge,)


class _DriftGauges(Collector):
    """The gauges of drift; a head has those that are known."""

    DESCRIPTIONS = tuple(
        MetricDescription(f"omnivec2_{name}", "gauge", _ROUTE, meaning)
        for name, meaning, _ in _DRIFT_GAUGES
    )

    def __init__(self, readings: Callable[[], Iterable[DriftReading]]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """Collect the current readings."""
        readings = list(self._readings())
        for name, meaning, read in _DRIFT_GAUGES:
            family = GaugeMetricFamily(f"omnivec2_{name}", meaning, labels=_ROUTE)
            for reading in readings:
                if (value := read(reading)) is not None:
                    family.add_metric((reading.modality, reading.task), value)
            yield family
