"""Prometheus metrics of canaries: the two versions of a head beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from omnivec2.canary.canary_state import Canary

_VERSION = ("modality", "task", "version")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DISTANCES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

MakeCounter = Callable[[str, str, Sequence[str]], Counter]
MakeHistogram = Callable[[str, str, Sequence[str], Sequence[float]], Histogram]


class CanaryMetrics:
    """The metrics of heads that have a canary. Labels are bounded: heads and their versions.

    Args:
        counter: A function that makes a counter: (name, meaning, labels).
        histogram: A function that makes a histogram: (name, meaning, labels, buckets).
    """

    def __init__(self, counter: MakeCounter, histogram: MakeHistogram) -> None:
        self._answers = counter(
            "canary_answers_total",
            "Requests to a head with a canary by version; use is live or shadow, outcome answered,"
            " or failed where only the served version could answer.",
            (*_VERSION, "use", "outcome"),
        )
        self._seconds = histogram(
            "canary_compute_seconds",
            "Inference and post-processing of one input by version, without waiting.",
            _VERSION,
            _SECONDS,
        )
        self._comparisons = counter(
            "canary_comparisons_total",
            "Answers of a candidate that were compared; result is same or different.",
            (*_VERSION, "result"),
        )
        self._distance = histogram(
            "canary_distance",
            "Distance of a candidate's answers from those of the served version.",
            _VERSION,
            _DISTANCES,
        )
        self._dropped = counter(
            "canary_shadows_dropped_total",
            "Requests that a candidate should have run too; reason is load or queue.",
            (*_VERSION, "reason"),
        )
        self._rollbacks = counter(
            "canary_rollbacks_total",
            "Canaries that this gateway rolled back; cause is errors, latency or disagreement.",
            (*_VERSION, "cause"),
        )

    def count_answer(self, route: str, version: str, use: str, outcome: str) -> None:
        """Count a request that a version of a head has answered, or failed."""
        self._answers.labels(*route.split("/"), version, use, outcome).inc()

    def observe_seconds(self, route: str, version: str, seconds: float) -> None:
        """Record the time of one input."""
        self._seconds.labels(*route.split("/"), version).observe(seconds)

    def observe_comparison(self, route: str, version: str, distance: float, differs: bool) -> None:
        """Record the comparison of an answer of a candidate."""
        labels = (*route.split("/"), version)
        self._comparisons.labels(*labels, "different" if differs else "same").inc()
        self._distance.labels(*labels).observe(distance)

    def count_dropped(self, route: str, version: str, reason: str) -> None:
        """Count a request that a candidate should have run too."""
        self._dropped.labels(*route.split("/"), version, reason).inc()

    def count_rollback(self, route: str, version: str, cause: str) -> None:
        """Count a canary that was rolled back here."""
        self._rollbacks.labels(*route.split("/"), version, cause).inc()


class CanaryShares(Collector):
    """One series per canary that is known: the share of callers that it answers now.

    Args:
        canaries: A function that returns the canaries, with how they ended.
    """

    NAME = "omnivec2_canary_share"
    MEANING = (
        "Percentage of callers that a candidate answers; 0 for shadows and once it has ended:"
        " status is running, rolled_back or promoted."
    )
    LABELS = (*_VERSION, "status", "shadow")

    def __init__(self, canaries: Callable[[], Iterable[Canary]]) -> None:
        self._canaries = canaries

    def collect(self) -> Iterable[Metric]:
        """Collect the current canaries."""
        family = GaugeMetricFamily(self.NAME, self.MEANING, labels=self.LABELS)
        for canary in self._canaries():
            shadow = str(canary.shadow).lower()
            labels = (*canary.route.split("/"), str(canary.version), canary.status.value, shadow)
            family.add_metric(labels, canary.share if canary.is_running else 0.0)
        yield family


def figures_of_exposition(text: str, route: str) -> dict[str, dict[str, float]]:
    """Return what the versions of a head with a canary did, by a scrape of a gateway.

    Args:
        text: The metrics in Prometheus' text format.
        route: The head, as ``<modality>/<task>``.

    Returns:
        The version -> figure -> its value: the outcomes of ``canary_answers_total`` and
        ``canary_comparisons_total``, ``dropped``, and the sums and counts of times and distances.

    Raises:
        ValueError: The text is not in that format.
    """
    modality, task = route.split("/")
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            name = _figure(sample.name, labels)
            if name and (labels["modality"], labels["task"]) == (modality, task):
                version = found.setdefault(labels["version"], {})
                version[name] = version.get(name, 0.0) + sample.value
    return found


_FIGURES: Mapping[str, str] = {
    "omnivec2_canary_answers_total": "{outcome}",
    "omnivec2_canary_comparisons_total": "{result}",
    "omnivec2_canary_shadows_dropped_total": "dropped",
    "omnivec2_canary_compute_seconds_sum": "seconds",
    "omnivec2_canary_compute_seconds_count": "timed",
    "omnivec2_canary_distance_sum": "distance",
    "omnivec2_canary_distance_count": "compared",
}
"""Sample -> the figure that it adds to."""


def _figure(sample: str, labels: Mapping[str, str]) -> str:
    return _FIGURES.get(sample, "").format(**labels)
