"""The windows of all heads: what sampled requests looked like to the trunk, and how they scored."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnivec2.arrays import Array
from omnivec2.familiarity.drift import describe_rows
from omnivec2.familiarity.drift_reference import DriftReference
from service.monitoring.drift.score_stability import ScoreBins
from service.runtimes.base import Model

_MOST_VERSIONS = 2
"""The versions of a head that are watched: a new one may get a share of the requests."""


@dataclass(frozen=True)
class DriftReading:
    """The state of one head's windows.

    Attributes:
        modality: The modality of the head.
        task: Its task.
        rows: The number of rows that were sampled so far.
        level: The alert level of a full window; None without a reference.
        distance: The distance of the window; None until it is full.
        stability: The index of the scores; None until their window is full.
        stability_level: The alert level of the index; None without a reference of scores.
    """

    modality: str
    task: str
    rows: int
    level: float | None = None
    distance: float | None = None
    stability: float | None = None
    stability_level: float | None = None


@dataclass(eq=False)
class _Window:
    """The last rows and scores of one version of a head.

    Attributes:
        model: The version.
        rows: The rows.
        scores: The scores.
        bins: The bins of the scores; None without a reference of scores.
        used_at: The number of rows of the head when one was added here last.
    """

    model: Model
    rows: deque[Array]
    scores: deque[float]
    bins: ScoreBins | None
    used_at: int = 0

    @property
    def reference(self) -> DriftReference | None:
        familiarity = self.model.familiarity
        return None if familiarity is None else familiarity.reference.drift


@dataclass(eq=False)
class _HeadWindows:
    """The windows of a head's versions, of which two may be served at the same time.

    Attributes:
        windows: The windows, the last used first.
        count: The number of rows of all versions so far.
    """

    windows: list[_Window] = field(default_factory=list)
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class DriftMonitor:
    """The drift of every head with a training reference.

    Rows are added by one thread and read by another, at a scrape.

    Args:
        window: The number of rows, and of scores, that are compared with the reference.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._heads: dict[str, _HeadWindows] = {}

    def add(
        self, model: Model, summaries: Mapping[str, Array] | None, scores: Sequence[float]
    ) -> float | None:
        """Add what a request's inputs looked like to a head.

        Args:
            model: The model of the head.
            summaries: The trunk's summaries of the sampled rows: name -> array (rows, width); None
                if there are none.
            scores: The score of each sample.

        Returns:
            The largest distance of a row from training; None if there is none.
        """
        familiarity = model.familiarity
        rows: list[Array] = []
        farthest: float | None = None
        if familiarity is not None and summaries is not None:
            farthest = float(familiarity.distances(summaries).max())
            rows = list(describe_rows(familiarity, summaries))
        head = self._heads.setdefault(model.spec.route, _HeadWindows())
        with head.lock:
            window = self._window_of(head, model)
            head.count += len(rows) or len(scores)
            window.used_at = head.count
            window.rows.extend(rows)
            window.scores.extend(scores)
        return farthest

    def readings(self) -> Iterator[DriftReading]:
        """Yield the state of every head that has been sampled."""
        for head in list(self._heads.values()):
            with head.lock:
                # A version that is not served any more must not hide the one that is.
                used = [w for w in head.windows if head.count - w.used_at <= self._window]
                if not used:
                    continue  # its first row is just being added
                window = max(used, key=lambda one: len(one.rows))
                rows, scores, count = list(window.rows), list(window.scores), head.count
            yield self._reading(window, rows, scores, count)

    def _reading(
        self, head: _Window, rows: list[Array], scores: list[float], count: int
    ) -> DriftReading:
        spec, reference = head.model.spec, head.reference
        level = distance = stability = stability_level = None
        if reference is not None:
            level = reference.level(self._window)
            if len(rows) == self._window:
                distance = reference.distance(np.stack(rows))
        if head.bins is not None:
            stability_level = head.bins.level(self._window)
            if len(scores) == self._window:
                stability = head.bins.index(scores)
        return DriftReading(
            spec.modality.value, spec.task, count, level, distance, stability, stability_level
        )

    def _window_of(self, head: _HeadWindows, model: Model) -> _Window:
        """Return the window of a version, a new one if it has none, and put it first."""
        window = next((one for one in head.windows if one.model is model), None)
        if window is None:
            bins = None
            if model.familiarity is not None and model.familiarity.reference.score_deciles:
                reference = model.familiarity.reference
                bins = ScoreBins(reference.score_deciles, reference.held_out)
            window = _Window(model, deque(maxlen=self._window), deque(maxlen=self._window), bins)
        others = [one for one in head.windows if one is not window]
        head.windows = [window, *others][:_MOST_VERSIONS]
        return window
