"""Windows of time series: a context that is read and the horizon that follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.formats.series.series_scale import is_constant, survives_rounding
from omnivec2.preprocess.timeseries import Series
from omnivec2.training.data.annotations.series.series_tables import TableSeries
from omnivec2.training.data.base import LazySequence, Split
from omnivec2.training.data.blocks.splits import PARTS

Bounds = Mapping[str, tuple[int, int]]
"""The steps of each part of one series, by the part: first, and first after it."""


@dataclass(frozen=True)
class _Windows:
    """The windows of one part.

    Attributes:
        series: The number of the series of each window, int32 [n].
        start: The first step of each context, int32 [n].
        scales: The divisor of errors of each window, float32 [n].
    """

    series: Array
    start: Array
    scales: Array


class ForecastWindows:
    """Every window of some series whose horizon lies in one part.

    Contexts may begin before the part. Windows that lack too many values, or whose context is
    constant, are left out; single missing values are filled as in requests.

    Args:
        series: The series.
        bounds: The parts of each series.
        context: The steps that are read.
        horizon: The steps that are forecast.
        preprocessor: The pre-processor that serves, with ``context`` as its length.
    """

    def __init__(
        self,
        series: Sequence[TableSeries],
        bounds: Sequence[Bounds],
        context: int,
        horizon: int,
        preprocessor: Preprocessor[Any, Any],
    ) -> None:
        self.series, self.bounds = series, bounds
        self.context, self.horizon = context, horizon
        self.preprocessor = preprocessor
        self.most_missing = float(preprocessor.parameters.most_missing)
        self.filled = [_fill(one.values) for one in series]

    def splits(self, step: int = 1) -> dict[str, Split]:
        """Return the windows of every part.

        Args:
            step: The distance of the training part's windows; those of others have every step.

        Raises:
            ArtifactError: There is no window to train or to test on.
        """
        found = {
            part: self._split(self._windows(part, step if part == "train" else 1)) for part in PARTS
        }
        for part in ("train", "test"):
            if not len(found[part]):
                raise ArtifactError(self._reason(part))
        return found

    def part(self, name: str) -> Split:
        """Return every window of one part.

        Raises:
            ArtifactError: There is none.
        """
        found = self._split(self._windows(name, 1))
        if not len(found):
            raise ArtifactError(self._reason(name))
        return found

    def count(self, name: str) -> int:
        """Return the number of windows of one part, with those that cannot be used."""
        return sum(len(self._starts(bounds, name, 1)) for bounds in self.bounds)

    def _starts(self, bounds: Bounds, part: str, step: int) -> Array:
        """Return the first steps of the windows of one series whose horizon lies in a part."""
        start, stop = bounds.get(part, (0, 0))
        first = max(start - self.context, 0)
        return np.arange(first, stop - self.horizon - self.context + 1, step, dtype=np.int32)

    def _reason(self, part: str) -> str:
        longest = max((len(one.values) for one in self.series), default=0)
        is_turned = len(self.series) > longest
        steps = max((stop - start for start, stop in (b.get(part, (0, 0)) for b in self.bounds)))
        return (
            f"the part {part} has no window: of {len(self.series)} series the longest has "
            f"{longest:,} steps, and {steps:,} are in this part; a window needs a context of "
            f"{self.context:,} and a horizon of {self.horizon:,} steps with at most "
            f"{self.most_missing:.0%} missing values, and a context that is not constant"
            + "; is a row of the table a series? Expected a column for each"
            * is_turned
        )

    def _windows(self, part: str, step: int) -> _Windows:
        numbers, starts, scales = [], [], []
        for number, bounds in enumerate(self.bounds):
            own, scale = self._usable(number, self._starts(bounds, part, step))
            numbers.append(np.full(len(own), number, dtype=np.int32))
            starts.append(own)
            scales.append(scale)
        return _Windows(np.concatenate(numbers), np.concatenate(starts), np.concatenate(scales))

    def _usable(self, number: int, starts: Array) -> tuple[Array, Array]:
        """Return the starts of windows that can be learned from, and their scales."""
        if not len(starts):
            return starts, np.zeros(0, dtype=np.float32)
        values, context, horizon = self.filled[number], self.context, self.horizon
        missing = np.concatenate(([0], np.cumsum(~np.isfinite(self.series[number].values))))
        before = missing[starts + context] - missing[starts]
        after = missing[starts + context + horizon] - missing[starts + context]
        usable = (before <= self.most_missing * context) & (after <= self.most_missing * horizon)
        views = np.lib.stride_tricks.sliding_window_view(values, context)[starts]
        deviation, largest = views.std(axis=1), np.abs(views).max(axis=1)
        usable &= ~is_constant(deviation, largest)
        own = _deviation(self.series[number].values, self.bounds[number].get("train"))
        scales = np.where(
            survives_rounding(deviation, largest), own, own / np.maximum(deviation, 1e-300)
        )
        return starts[usable], scales[usable].astype(np.float32)

    def _split(self, windows: _Windows) -> Split:
        def at(index: int) -> tuple[TableSeries, Array, int]:
            number, start = int(windows.series[index]), int(windows.start[index])
            return self.series[number], self.filled[number], start

        def values(index: int) -> Sample:
            series, _, start = at(index)
            return self._prepare(series, start)[0]

        def future(index: int) -> Array:
            series, filled, start = at(index)
            known = filled[start + self.context : start + self.context + self.horizon]
            context = self._prepare(series, start)[1]
            location = float(np.ravel(context.get("location", 0.0))[0])
            scale = float(np.ravel(context.get("scale", 1.0))[0]) or 1.0
            return ((known - location) / scale).astype(np.float32)

        count = len(windows.series)
        return Split(
            LazySequence(count, values), LazySequence(count, future), scales=windows.scales
        )

    def _prepare(self, series: TableSeries, start: int) -> tuple[Sample, Mapping[str, Any]]:
        window = series.values[start : start + self.context]
        prepared = self.preprocessor.prepare(Series.of({series.name or "target": window}))
        return prepared.samples[0], prepared.context


def _fill(values: Array) -> Array:
    """Return a series whose missing values are interpolated."""
    known = np.isfinite(values)
    if known.all() or not known.any():
        return np.nan_to_num(values, nan=0.0)
    steps = np.arange(len(values))
    return np.asarray(np.interp(steps, steps[known], values[known]))


def _deviation(values: Array, train: tuple[int, int] | None) -> float:
    """Return the deviation of a series over its training part, or over all of it without one."""
    part = values[slice(*train)] if train is not None and train[1] > train[0] else values
    known = part[np.isfinite(part)]
    deviation = float(known.std()) if len(known) else 0.0
    return deviation or 1.0
