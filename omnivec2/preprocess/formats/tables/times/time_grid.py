"""Rows on an even grid of times: where each stands, and which places are empty.

Steps of a calendar are even too: months, quarters and years, and days without weekends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.formats.tables.frame import FloatColumn
from omnivec2.preprocess.formats.tables.times.date_columns import DAY_S

_SAME_STEP = 0.05
"""Steps that differ by less (relative) are the same: clocks drift, and summer time begins."""

_FAR = 3.0
"""Times between rows that are farther apart, in steps, count as missing."""

_ROUND_STEPS_S = (
    *(0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0),
    *(60.0, 120.0, 180.0, 300.0, 600.0, 720.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0, 10_800.0),
    *(14_400.0, 21_600.0, 28_800.0, 43_200.0, 86_400.0, 604_800.0),
)
"""The usual intervals of loggers, of which irregular rows mostly are jittered forms."""

_UNIT_NAMES = (("day", DAY_S), ("hour", 3600.0), ("minute", 60.0))


@dataclass(frozen=True)
class Grid:
    """The places of rows on an even grid of times.

    Attributes:
        places: A float64 array (rows,), increasing: the place of each row in steps; the last
            is 0, earlier ones are negative.
        kind: The fit: ``"even"``: every place is taken; ``"gaps"``: some are not;
            ``"irregular"``: the rows do not lie on the grid.
        step: The distance between two places in words.
    """

    places: FloatColumn
    kind: Literal["even", "gaps", "irregular"]
    step: str

    @property
    def length(self) -> int:
        """The number of places from the first row to the last."""
        return 1 + int(np.floor(1e-6 - self.places[0]))

    @property
    def empty(self) -> int:
        """The number of places without a row, where rows lie on the grid."""
        return self.length - len(self.places)


def find_grid(times: FloatColumn, *, dated: bool) -> Grid:
    """Find the grid on which times lie.

    Args:
        times: A strictly increasing float64 array (rows,) in seconds; at least one.
        dated: Whether the times count from 1970, so that the calendar tells months and weekends.
    """
    if len(times) < 3:
        return Grid(np.arange(1.0 - len(times), 1.0), "even", "1 row")
    steps = np.diff(times)
    typical = _typical(steps)
    if (np.abs(steps - typical) <= _SAME_STEP * typical).all():
        return Grid(np.arange(1.0 - len(times), 1.0), "even", _spelled(typical))
    if dated and (grid := _calendar_grid(times, typical)) is not None:
        return grid
    counts = np.round(steps / typical)
    off = np.abs(steps / typical - counts)
    if counts.min() >= 1 and off.max() <= _SAME_STEP:
        return _whole_places(counts, _spelled(typical))
    typical = _irregular_step(steps)
    return Grid((times - times[-1]) / typical, "irregular", _spelled(typical))


def lay_on_grid(grid: Grid, values: FloatColumn, length: int) -> FloatColumn:
    """Lay rows on the last places of their grid.

    Args:
        grid: The grid of the rows.
        values: A float64 array (rows, series), NaN where missing.
        length: The number of places wanted.

    Returns:
        A float64 array (places, series) of at most ``length`` places, NaN where missing. Values
        of rows beside the grid are interpolated, those far from any row are missing.
    """
    count = min(length, grid.length)
    laid = np.full((count, values.shape[1]), np.nan)
    wanted = np.arange(1.0 - count, 1.0)
    if grid.kind != "irregular":
        kept = grid.places > -count
        laid[grid.places[kept].astype(np.int64) + count - 1] = values[kept]
        return laid
    for series in range(values.shape[1]):
        known = np.isfinite(values[:, series])
        if not known.any():
            continue
        places = grid.places[known]
        laid[:, series] = np.interp(wanted, places, values[known, series])
        after = np.clip(np.searchsorted(places, wanted), 0, len(places) - 1)
        before = np.maximum(after - 1, 0)
        nearest = np.minimum(np.abs(places[after] - wanted), np.abs(places[before] - wanted))
        far = (places[after] - places[before] > _FAR) | (wanted < places[0])
        laid[far & (nearest > 0.5), series] = np.nan
    return laid


def _typical(steps: FloatColumn) -> float:
    """Return the most common step if it is that of half the rows, else the median."""
    rounded = np.round(steps, 6)
    kinds, counts = np.unique(rounded, return_counts=True)
    most = int(counts.argmax())
    if counts[most] >= 0.5 * len(steps) and kinds[most] > 0:
        return float(kinds[most])
    return float(np.median(steps))


def _irregular_step(steps: FloatColumn) -> float:
    """Return the step of a grid for rows that lie on none.

    A logger that is late or early keeps its mean distance; events without any rhythm are as far
    apart on the grid as they are on average.
    """
    median = float(np.median(steps))
    regular = steps[np.abs(steps - median) <= 0.5 * median]
    mean = float(regular.mean() if 2 * len(regular) > len(steps) else steps.mean())
    nearest = min(_ROUND_STEPS_S, key=lambda step: abs(step / mean - 1))
    return nearest if abs(nearest / mean - 1) < _SAME_STEP else mean


def _whole_places(counts: FloatColumn, step: str) -> Grid:
    places = np.concatenate(([0.0], np.cumsum(counts)))
    places -= places[-1]
    kind: Literal["even", "gaps"] = "even" if (counts == 1).all() else "gaps"
    return Grid(places, kind, step)


def _calendar_grid(times: FloatColumn, typical: float) -> Grid | None:
    """Return the grid of months, or of days from Monday to Friday, if times lie on one."""
    moments = np.round(times * 1e6).astype(np.int64).astype("datetime64[us]")
    days = moments.astype("datetime64[D]")
    of_day = moments - days
    if of_day.max() - of_day.min() > np.timedelta64(1, "h"):
        return None
    if typical >= 27.5 * DAY_S:
        return _month_grid(days)
    weekend = not np.is_busday(days).all()
    if weekend or round(typical / DAY_S) != 1 or np.diff(times).max() < 2.5 * DAY_S:
        return None
    counts = np.busday_count(days[:-1], days[1:]).astype(np.float64)
    return None if counts.min() < 1 else _whole_places(counts, "1 working day")


def _month_grid(days: npt.NDArray[np.datetime64]) -> Grid | None:
    months = days.astype("datetime64[M]")
    of_month = (days - months).astype(np.int64)
    is_last = (days + np.timedelta64(1, "D")).astype("datetime64[M]") > months
    if of_month.max() != of_month.min() and not is_last.all():
        return None
    counts = np.diff(months.astype(np.int64)).astype(np.float64)
    step = _typical(counts)
    counts /= step
    if counts.min() < 1 or (counts != np.round(counts)).any():
        return None
    return _whole_places(counts, "1 month" if step == 1 else f"{step:g} months")


def _spelled(seconds: float) -> str:
    for name, length in _UNIT_NAMES:
        if seconds >= length:
            count = seconds / length
            return f"{count:.4g} {name}{'s' * (abs(count - 1) > 1e-9)}"
    return f"{seconds:.4g} s"
