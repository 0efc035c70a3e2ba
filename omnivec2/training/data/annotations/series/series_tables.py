"""Tables of time series, wide or long: every series whole, on an even grid of times.

Wide tables have a column per series; long ones a column of ids that names the series of each
row, and one or several columns of values. Times may be unsorted, have gaps or be repeated: they
are read by the code that reads requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import ArtifactError, InputError, InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.series.counted_steps import find_counted_times
from omnivec2.preprocess.formats.series.series_ids import SeriesRows, split_series
from omnivec2.preprocess.formats.series.series_values import last_values
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import (
    TimeAxis,
    TimeOptions,
    find_time_axis,
    read_times,
)
from omnivec2.preprocess.formats.tables.times.date_columns import DateOrder
from omnivec2.preprocess.formats.tables.times.time_grid import find_grid
from omnivec2.preprocess.formats.tables.times.time_numbers import is_counter, time_name
from omnivec2.preprocess.notes import NoteCode, note

_MOST_EMPTY = 50
"""Rows may be spread over so many times their number of steps; beyond that a time is wrong."""


@dataclass(frozen=True)
class SeriesColumns:
    """What is known of the columns of a table of series.

    Attributes:
        time: The column of times; found by its name and cells unless given.
        ids: The columns that name the series of each row; found likewise, and none in wide tables.
        targets: The columns of values; all other columns of numbers unless given.
        others: The columns that hold neither, such as labels and covariates.
        date_order: The order of day and month in dates such as 01/02/2024.
    """

    time: str | None = None
    ids: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    date_order: DateOrder | None = None


@dataclass(frozen=True)
class TableSeries:
    """One series of a table.

    Attributes:
        name: The id and, where there are several, the column.
        values: The values, float64 (steps,), NaN where missing; oldest first.
        times: The time of each step in seconds, float64 (steps,), or None without times.
        dated: Whether the times count from 1970.
        rows: The indices of its rows in the table, in the order of the table.
    """

    name: str
    values: Array
    times: Array | None
    dated: bool
    rows: Array


@dataclass(frozen=True)
class _Layout:
    axis: TimeAxis | None
    split: tuple[SeriesRows, ...]
    targets: tuple[str, ...]


def read_series(frame: Frame, columns: SeriesColumns, place: str) -> list[TableSeries]:
    """Read all series of a table.

    Args:
        frame: The table.
        columns: The columns that are known.
        place: The file, for messages.

    Raises:
        ArtifactError: A column is missing, a cell cannot be read, or no column holds numbers; the
            message names file, row and column.
    """
    try:
        layout = _find_layout(frame, columns)
        found: list[TableSeries] = []
        for rows in layout.split:
            found += _series_of(frame, layout, rows)
    except InputError as error:
        raise ArtifactError(f"{place}: {error}") from error
    return found


def _find_layout(frame: Frame, columns: SeriesColumns) -> _Layout:
    known = [*columns.ids, *columns.targets, *columns.others]
    frame.require([*([columns.time] if columns.time else []), *known])
    options = TimeOptions(time_column=columns.time, date_order=columns.date_order)
    axis = find_time_axis(frame.without(known), options)
    if axis is None and not columns.ids:
        axis = find_counted_times(frame.without(known))
    rest = frame.without([*(axis.columns if axis else ()), *columns.others])
    ids = columns.ids
    if ids:
        split = _rows_by_id(rest, ids)
    else:
        times = None if axis is None else axis.seconds
        found = split_series(rest, times, kept=columns.targets)
        ids, split = found.columns, found.series
    if axis is None and (name := _find_step_column(rest, [*ids, *columns.targets], split)):
        axis = read_times(rest, name, options)
        rest = rest.without([name])
    targets = columns.targets or tuple(
        name for name in rest.without(ids).columns if rest.is_numeric(name)
    )
    if not targets:
        raise InvalidInputError("no column holds numbers; name the columns of values in `values`")
    return _Layout(axis, split, targets)


def _find_step_column(
    frame: Frame, known: Sequence[str], split: Sequence[SeriesRows]
) -> str | None:
    """Return the column that numbers the steps of each series anew, and say so; or None.

    Over the whole table its values repeat, so that they do not look like times; taken for values
    they would be one more series for each id.
    """
    if len(split) < 2:
        return None
    for name in frame.without(known).columns:
        if not frame.is_numeric(name):
            continue
        values = frame.numbers(name)
        counts = is_counter if time_name(name) == "no" else _are_distinct
        if all(counts(values[series.rows]) for series in split):
            note(
                NoteCode.GUESSED,
                f"column {name!r} is taken for the time, as it numbers the steps of each series",
                field=f"inputs.{name}",
            )
            return name
    return None


def _are_distinct(values: Array) -> bool:
    return bool(np.isfinite(values).all()) and len(np.unique(values)) == len(values)


def _rows_by_id(frame: Frame, ids: Sequence[str]) -> tuple[SeriesRows, ...]:
    """Return the rows of each id; whole numbers and texts of them are the same id."""
    groups: dict[str, list[int]] = {}
    columns = [[_id_text(cell) for cell in frame.columns[name].tolist()] for name in ids]
    for row, cells in enumerate(zip(*columns, strict=True)):
        groups.setdefault("/".join(cells), []).append(row)
    return tuple(SeriesRows(label, np.array(rows)) for label, rows in groups.items())


def _id_text(cell: object) -> str:
    if isinstance(cell, float) and np.isfinite(cell) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def _series_of(frame: Frame, layout: _Layout, rows: SeriesRows) -> list[TableSeries]:
    own = frame.take(rows.rows)
    axis = layout.axis.take(rows.rows) if layout.axis is not None else None
    most = _MOST_EMPTY * own.rows + 1000
    values = last_values(own, axis, layout.targets, most)
    if len(values) == most:
        where = "" if rows.label is None else f"series {rows.label!r}: "
        raise InvalidInputError(
            f"{where}the times span {most:,} steps for {own.rows:,} rows; is one wrong?"
        )
    times = _times_of_steps(axis, len(values)) if axis is not None else None
    dated = axis is not None and axis.counts_from_1970
    labels = [
        target if rows.label is None else rows.label if len(layout.targets) == 1
        else f"{rows.label}/{target}"
        for target in layout.targets
    ]  # fmt: skip
    return [
        TableSeries(label, column, times, dated, rows.rows)
        for label, column in zip(labels, values.T, strict=True)
    ]


def _times_of_steps(axis: TimeAxis, count: int) -> Array:
    """Return the time of each of the last steps of the grid that the rows lie on."""
    seconds = axis.seconds
    distinct = np.unique(seconds[np.isfinite(seconds)])
    grid = find_grid(distinct, dated=axis.counts_from_1970)
    steps = np.arange(1.0 - count, 1.0)
    return np.asarray(np.interp(steps, grid.places, distinct))
