"""The rows of one series -> its last values, one for each step of an even grid of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.time_axis import TimeAxis
from omnivec2.preprocess.formats.tables.times.time_cells import is_missing
from omnivec2.preprocess.formats.tables.times.time_grid import find_grid, lay_on_grid
from omnivec2.preprocess.notes import NoteCode, note

_MOST_REPEATED = 0.05
"""The share of times that may have several rows with different values: the hour that summer
time repeats, a logger that stuttered. More of them are several series, or times that are cut."""

Rows = npt.NDArray[np.int64]


def last_values(
    frame: Frame, axis: TimeAxis | None, names: Sequence[str], length: int
) -> FloatColumn:
    """Read the last values of columns that share their times.

    Only the cells that are wanted are parsed: a long history costs nothing.

    Args:
        frame: The rows of one series, or of several side by side.
        axis: The times of the rows; None if they are evenly spaced in the order of the table.
        names: The columns of values.
        length: The number of steps wanted.

    Returns:
        A float64 array (steps, columns), oldest first, NaN where missing; at most ``length``
        steps.

    Raises:
        InvalidInputError: a cell is no number, or many times have several rows that differ.
    """
    if axis is None:
        return _numbers(frame.take(np.arange(max(0, frame.rows - length), frame.rows)), names)
    times = axis.seconds
    rows = _rows_in_order(frame, times, axis)
    distinct, first, counts = np.unique(times[rows], return_index=True, return_counts=True)
    grid = find_grid(distinct, dated=axis.counts_from_1970)
    # A row beside the grid is needed to interpolate its first place.
    start = max(0, int(np.searchsorted(grid.places, -float(length))) - 1)
    chosen = frame.take(rows[first[start] :])
    values = _join_repeated(_numbers(chosen, names), counts[start:], chosen, axis)
    grid = replace(grid, places=grid.places[start:])
    if grid.kind == "irregular":
        note(
            NoteCode.RESAMPLED,
            f"the times in {axis.name} have an irregular spacing; values were interpolated on an "
            f"even grid of {grid.step}",
            field=f"inputs.{axis.columns[0]}",
        )
    elif (empty := _empty_places(grid.places, length)) > 0:
        note(
            NoteCode.FILLED,
            f"the times in {axis.name} have gaps: at a spacing of {grid.step} rows are missing, "
            "and their values were filled in between their neighbours",
            field=f"inputs.{axis.columns[0]}",
            count=empty,
        )
    return lay_on_grid(grid, values, length)


def _rows_in_order(frame: Frame, times: FloatColumn, axis: TimeAxis) -> Rows:
    """Return the rows in the order of their times; empty rows of a spreadsheet are left out."""
    timeless = np.flatnonzero(~np.isfinite(times))
    for row in timeless:
        if not all(is_missing(column[row]) for column in frame.columns.values()):
            raise InvalidInputError(
                f"column {axis.columns[0]!r}, row {frame.row_number(int(row))}: expected a date "
                "or time, got none",
                field=f"inputs.{axis.columns[0]}",
            )
    rows = np.argsort(times, kind="stable")[: len(times) - len(timeless)]
    if not len(rows):
        raise InvalidInputError(
            f"column {axis.columns[0]!r} holds no times", field=f"inputs.{axis.columns[0]}"
        )
    if len(timeless):
        note(NoteCode.DROPPED, "empty rows were left out", count=len(timeless))
    return rows


def _numbers(frame: Frame, names: Sequence[str]) -> FloatColumn:
    return np.stack([frame.numbers(name) for name in names], axis=1)


def _join_repeated(values: FloatColumn, counts: Rows, frame: Frame, axis: TimeAxis) -> FloatColumn:
    """Make one row of those with the same time: the mean of their values."""
    if len(values) == len(counts):
        return values
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    known = np.isfinite(values)
    number = np.add.reduceat(known.astype(np.float64), starts, axis=0)
    total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    mean = np.where(number > 0, total / np.maximum(number, 1.0), np.nan)
    first = values[starts]
    group = np.repeat(np.arange(len(counts)), counts)
    differs = (known & np.isfinite(first[group]) & (values != first[group])).any(axis=1)
    different = np.unique(group[differs])
    if len(different) > max(1, _MOST_REPEATED * len(counts)):
        row = frame.row_number(int(np.flatnonzero(differs)[0]))
        raise InvalidInputError(
            f"several rows share one time in {axis.name} and differ, e.g. row {row}: add the "
            "hour if it was cut off, or a column that names the series of each row (unique_id), "
            "or send one column per series",
            field=f"inputs.{axis.columns[0]}",
        )
    text = "rows that repeat a time were left out as duplicates"
    if len(different):
        text = "rows that repeat a time were averaged, as these duplicates differ"
    repeated = len(values) - len(counts)
    note(NoteCode.DROPPED, text, field=f"inputs.{axis.columns[0]}", count=repeated)
    # Rounding would make the mean of equal values another value.
    averaged = np.isin(np.arange(len(counts)), different)[:, None] | np.isnan(first)
    return np.where(averaged, mean, first)


def _empty_places(places: FloatColumn, length: int) -> int:
    """Return how many of the last places have no row."""
    first = max(float(places[0]), 1.0 - length)
    return round(1.0 - first) - int((places >= first).sum())
