"""What two versions of a head did lately, and whether the new one is over a limit of its canary."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from omnivec2.canary.canary_state import CanaryLimits
from service.canary.comparison import Comparison

_WINDOW = 200
"""The latest requests, and the latest comparisons, that count."""
_LEAST_FAILURES = 3
"""Fewer failures end no canary: one input may be odd."""
_LEAST_SAMPLES = 50
"""The least pairs of times, and the least comparisons, that are judged."""
_SLACK_SECONDS = 0.01
"""What a version may be slower however fast the other is: a pause of the process is no fault."""
_MOST_CHANGES = 256


class Cause(StrEnum):
    """Why a canary ends by itself."""

    ERRORS = "errors"
    LATENCY = "latency"
    DISAGREEMENT = "disagreement"


@dataclass(frozen=True)
class Verdict:
    """A limit that is exceeded, and the sentence that says so."""

    cause: Cause
    reason: str


class VersionMonitor:
    """The latest failures, times and comparisons of a canary.

    Args:
        limits: The limits of the canary.

    Attributes:
        changes: The pairs of labels (served, candidate) of answers that differ, counted; bounded.
    """

    def __init__(self, limits: CanaryLimits) -> None:
        self._limits = limits
        self._failed: deque[bool] = deque(maxlen=_WINDOW)
        self._last_failure = ""
        # Times of the candidate and of the next answer of the served version: both are of the same
        # moments, however rare one of them is, so that other load on the machine does not count.
        self._seconds: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._unpaired: float | None = None
        self._differs: deque[bool] = deque(maxlen=_WINDOW)
        self.changes: Counter[tuple[str, str]] = Counter()

    def record_served(self, seconds: float) -> None:
        """Record an answer of the served version that took so long."""
        if self._unpaired is not None:
            self._seconds.append((self._unpaired, seconds))
            self._unpaired = None

    def record_candidate(self, seconds: float | None) -> None:
        """Record an answer of the candidate; None where its time compares with no other."""
        self._failed.append(False)
        if seconds is not None:
            self._unpaired = seconds

    def record_failure(self, message: str) -> None:
        """Record a request that only the served version could answer."""
        self._failed.append(True)
        self._last_failure = message

    def record_comparisons(self, comparisons: Iterable[Comparison]) -> None:
        """Record pairs of answers."""
        for comparison in comparisons:
            self._differs.append(comparison.differs)
            pair = comparison.labels
            if comparison.differs and pair and (pair in self.changes or self._has_room()):
                self.changes[pair] += 1

    def verdict(self) -> Verdict | None:
        """Return the first limit that is exceeded; None if none is."""
        return self._errors() or self._latency() or self._disagreement()

    def _has_room(self) -> bool:
        return len(self.changes) < _MOST_CHANGES

    def _errors(self) -> Verdict | None:
        failures, most = sum(self._failed), self._limits.max_error_rate
        if failures < _LEAST_FAILURES or failures <= most * len(self._failed):
            return None
        return Verdict(
            Cause.ERRORS,
            f"failed {failures} of the last {len(self._failed)} requests, which the served "
            f"version answered; {most:.1%} are allowed; the last one: {self._last_failure}",
        )

    def _latency(self) -> Verdict | None:
        if len(self._seconds) < _LEAST_SAMPLES:
            return None
        most = self._limits.max_latency_ratio
        slow, usual = (statistics.median(times) for times in zip(*self._seconds, strict=True))
        if slow <= most * usual + _SLACK_SECONDS:
            return None
        return Verdict(
            Cause.LATENCY,
            f"takes {1000 * slow:.1f} ms where the served version takes {1000 * usual:.1f} ms "
            f"(medians of the last {len(self._seconds)} pairs); {most:g} times as long is allowed",
        )

    def _disagreement(self) -> Verdict | None:
        total, differing = len(self._differs), sum(self._differs)
        most = self._limits.max_disagreement
        if total < _LEAST_SAMPLES or differing <= most * total:
            return None
        return Verdict(
            Cause.DISAGREEMENT,
            f"differs in {differing} of the last {total} compared answers; {most:.1%} are allowed",
        )
