"""Long tables without times, in which a column numbers the steps of each series anew.

::

    unit,cycle,pressure
    1,1,14.6
    1,2,14.7
    2,1,14.6        the second unit's first cycle
"""

from __future__ import annotations

import numpy as np

from omnivec2.preprocess.formats.series.series_ids import SeriesRows, split_by
from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.time_axis import TimeAxis, read_times
from omnivec2.preprocess.formats.tables.times.time_numbers import is_counter, time_name
from omnivec2.preprocess.notes import NoteCode, note

_FEWEST_STEPS = 8
"""Shorter runs of numbers are more likely to be counts or categories than steps."""


def find_counted_times(frame: Frame) -> TimeAxis | None:
    """Find a column that counts 0, 1, 2, … or 1, 2, 3, … within each value of another, and say so.

    Args:
        frame: The table without its columns of values, where those are known.

    Returns:
        The steps as times; they repeat, as each series has them. None if there is no such column.
    """
    if not frame.named:
        return None
    for name in frame.columns:
        steps = _steps_of_several(frame, name)
        if steps is None or time_name(name) == "surely":
            continue
        count = int((steps == steps[0]).sum())
        for other in frame.columns:
            if other != name and _counts_within(frame, other, count, steps):
                note(
                    NoteCode.GUESSED,
                    f"column {name!r} is taken for the time, as it numbers the rows of each "
                    f"{other!r} anew; state time_column, or call it time",
                    field=f"inputs.{name}",
                )
                return read_times(frame, name)
    return None


def _steps_of_several(frame: Frame, name: str) -> FloatColumn | None:
    """Return a column that may number the steps of at least two series; or None."""
    if not frame.is_numeric(name):
        return None
    values = frame.numbers(name)
    if not np.isfinite(values).all() or values[0] not in (0, 1):
        return None
    if values.min() < values[0] or values.max() >= frame.rows or (values % 1).any():
        return None
    # Each step is reached by no more series than the one before it.
    reached = np.bincount((values - values[0]).astype(np.int64))
    several = len(reached) >= _FEWEST_STEPS and reached[0] > 1 and reached[-1] > 0
    return values if several and (np.diff(reached) <= 0).all() else None


def _counts_within(frame: Frame, ids: str, count: int, steps: FloatColumn) -> bool:
    """Whether a column has so many values, and the steps count the rows of each of them."""
    # Days number the hours anew, too, but name no series.
    if time_name(ids) != "no":
        return False
    series = split_by(frame, [ids]).series
    return len(series) == count > 1 and all(_is_counted(rows, steps) for rows in series)


def _is_counted(series: SeriesRows, steps: FloatColumn) -> bool:
    return len(series.rows) >= _FEWEST_STEPS and is_counter(steps[series.rows])
