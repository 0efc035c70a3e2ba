"""The share of correct answers among those that callers have sent the true label of."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

NAME = "omnivec2_live_accuracy"
MEANING = "Share of the classified samples with feedback that were answered correctly."
LABELS = ("modality", "task")

_COUNTER = "omnivec2_feedback"


def live_accuracy(families: Iterable[Metric]) -> Metric | None:
    """Return the share of correct answers per head; None without a counter of feedback.

    Args:
        families: The families of metrics of one process, or of several that were merged: the share
            of all is not to be had from the share of each.
    """
    feedback = next((family for family in families if family.name == _COUNTER), None)
    if feedback is None:
        return None
    counts: dict[tuple[str, str], dict[str, float]] = {}
    for sample in feedback.samples:
        head = sample.labels["modality"], sample.labels["task"]
        counts.setdefault(head, {})[sample.labels["outcome"]] = sample.value
    gauge = GaugeMetricFamily(NAME, MEANING, labels=LABELS)
    for head, by_outcome in counts.items():
        right = by_outcome.get("correct", 0.0)
        if total := right + by_outcome.get("incorrect", 0.0):
            gauge.add_metric(head, right / total)
    return gauge
