"""Prometheus metrics of API keys: what each has used, by its name and never by its secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

_COUNTERS = {
    "requests": ("requests_total", "Requests that the limits of an API key let in."),
    "refused": ("refused_total", "Requests that the limits of an API key refused."),
    "compute_seconds": (
        "compute_seconds_total",
        "Work on the requests of an API key, in seconds of one thread.",
    ),
    "received_bytes": (
        "received_bytes_total",
        "Bodies of the requests of an API key, as far as they were read.",
    ),
    "sent_bytes": ("sent_bytes_total", "Bodies of the answers to an API key."),
}
"""What is counted -> the name of its counter after ``omnivec2_key_``, and what it means."""


class KeyMetrics:
    """The counters of API keys. Labels are bounded: they are the names in the file of keys.

    Args:
        counter: A function that makes a counter: (name, meaning, labels).
    """

    def __init__(self, counter: Callable[[str, str, Sequence[str]], Counter]) -> None:
        self._counters = {
            part: counter(f"key_{name}", meaning, ("key",))
            for part, (name, meaning) in _COUNTERS.items()
        }
        self._series: dict[str, dict[str, Counter]] = {}

    def observe(self, key: str, used: Mapping[str, float]) -> None:
        """Add to what a key has used.

        Args:
            key: The name of the key.
            used: The amounts: what is counted -> how much of it was used.
        """
        if (series := self._series.get(key)) is None:
            series = {part: counter.labels(key) for part, counter in self._counters.items()}
            self._series[key] = series
        for part, value in used.items():
            if value:
                series[part].inc(value)


def usage_of_exposition(text: str) -> dict[str, dict[str, float]]:
    """Return what keys have used by a scrape of a gateway.

    Args:
        text: The metrics in Prometheus' text format.

    Returns:
        The name of the key -> what is counted -> how much of it was used.

    Raises:
        ValueError: The text is not in that format.
    """
    parts = {f"omnivec2_key_{name}": part for part, (name, _) in _COUNTERS.items()}
    usage: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in parts:
                usage.setdefault(sample.labels["key"], {})[parts[sample.name]] = sample.value
    return usage
