"""The time of a table's rows: which column holds it, or which columns, and in what unit.

A column is recognised by its type, by its texts, by its name or by its numbers, in this order;
each way looks at the cells too. Every modality whose rows may have times finds them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.times.clock_columns import add_clock, dates_in_parts
from omnivec2.preprocess.formats.tables.times.date_columns import (
    DAY_S,
    DateColumn,
    DateOrder,
    read_date_column,
)
from omnivec2.preprocess.formats.tables.times.date_texts import (
    is_time_text as is_time_text,  # noqa: PLC0414 (exported from here too)
)
from omnivec2.preprocess.formats.tables.times.time_cells import (
    floats,
    holds_time_texts,
    is_number,
    text_cells,
)
from omnivec2.preprocess.formats.tables.times.time_numbers import (
    PER_SECOND,
    TimeUnit,
    are_evenly_spaced,
    calendar_seconds,
    epoch_unit,
    is_counter,
    named_unit,
    time_name,
)
from omnivec2.preprocess.notes import NoteCode, note

_HALF_DAY_S = DAY_S / 2


class TimeOptions(TableOptions):
    """What a caller can state about a table whose rows have times."""

    time_column: str | None = Field(default=None, description="name of the column of times")
    time_unit: TimeUnit | None = Field(default=None, description="unit of times that are numbers")
    date_order: DateOrder | None = Field(
        default=None, description="order of day, month and year in dates such as 01/02/2024"
    )


@dataclass(frozen=True)
class TimeAxis:
    """The times of a table's rows.

    Attributes:
        columns: The columns that hold them: one, or a date and a time of day.
        values: A float64 array (rows,), NaN where missing; seconds unless ``unit`` is None.
        unit: The unit in which they were written; None if neither name nor cells tell.
        absolute: Whether they count from 1970.
        has_clock: Whether they are finer than days, as far as the cells tell.
    """

    columns: tuple[str, ...]
    values: FloatColumn
    unit: TimeUnit | None = "s"
    absolute: bool = True
    has_clock: bool = True

    @property
    def name(self) -> str:
        """The columns in words."""
        return " and ".join(map(repr, self.columns))

    @property
    def seconds(self) -> FloatColumn:
        """The times in seconds; numbers of an unknown unit are epochs if they can be."""
        unit = epoch_unit(self.values[np.isfinite(self.values)]) if self.unit is None else "s"
        return self.values / PER_SECOND[unit or "s"]

    @property
    def counts_from_1970(self) -> bool:
        """Whether times are dates, or numbers that can be read as dates."""
        known = self.values[np.isfinite(self.values)]
        return self.absolute or (self.unit is None and epoch_unit(known) is not None)

    def take(self, rows: npt.NDArray[Any]) -> TimeAxis:
        """Select rows by index."""
        return replace(self, values=self.values[rows])


def find_time_column(frame: Frame) -> str | None:
    """Find the column of times; the first of them if they are two. None if there is none."""
    axis = find_time_axis(frame)
    return None if axis is None else axis.columns[0]


def find_time_axis(
    frame: Frame, options: TimeOptions | None = None, *, evenly: bool = False
) -> TimeAxis | None:
    """Find and read the times of a table's rows.

    Args:
        frame: The table, without the columns that are known to hold something else.
        options: The statements of the caller.
        evenly: Whether any column of evenly spaced rising numbers is taken for times.

    Returns:
        The times; None if no column holds times.

    Raises:
        InvalidInputError: a column plainly holds times, and a cell of it cannot be read, or
            nothing tells days from months.
    """
    options = options or TimeOptions()
    if options.time_column is not None:
        frame.require([options.time_column])
        return _finish(_read_named(frame, options.time_column, options), frame, options)
    best: TimeAxis | None = None
    most = 1
    for found in _candidates(frame, options):
        axis = _finish(found, frame, options)
        known = axis.values[np.isfinite(axis.values)]
        distinct = len(np.unique(known))
        if distinct > most or (best is None and frame.rows <= 2 and distinct):
            best, most = axis, distinct
        if distinct >= 0.99 * frame.rows:
            break
    return best if best is not None else _guess(frame, options, evenly=evenly)


def read_times(frame: Frame, name: str, options: TimeOptions | None = None) -> TimeAxis:
    """Read a column that holds times.

    Raises:
        InvalidInputError: a cell is not a time; the message names row and column.
    """
    return _read_named(frame, name, options or TimeOptions())


def _candidates(frame: Frame, options: TimeOptions) -> Iterator[TimeAxis]:
    """Yield columns that hold times by their type, their texts or their name."""
    moments = [name for name, column in frame.columns.items() if column.dtype.kind == "M"]
    for name in moments:
        yield _moments(frame, name)
    texts = [name for name in frame.columns if holds_time_texts(frame, name)]
    # Names decide between several columns of dates.
    for name in sorted(texts, key=lambda name: time_name(name) != "surely"):
        named = time_name(name) == "surely"
        axis = _read_named(frame, name, options) if named else _try_text(frame, name, options)
        if axis is not None and axis.absolute:
            yield axis
    if not moments and (found := dates_in_parts(frame)) is not None:
        yield TimeAxis(found.columns, found.seconds, has_clock=found.has_clock)
    if not frame.named:
        return
    for name in frame.columns:
        if name not in (*moments, *texts) and time_name(name) == "surely":
            yield _read_named(frame, name, options)
    for name in texts:
        if (axis := _try_text(frame, name, options)) is not None and not axis.absolute:
            yield axis


def _guess(frame: Frame, options: TimeOptions, *, evenly: bool) -> TimeAxis | None:
    """Find a column of numbers that are times by their values, and say so."""
    for accepts in _NUMBER_TESTS[: 3 if evenly else 2]:
        for name in frame.columns:
            values = floats(frame, name)
            if values is None or not accepts(frame, name, values):
                continue
            if evenly and is_counter(values):
                continue
            note(
                NoteCode.GUESSED,
                f"column {name!r} is taken for the time of the rows, as its values look like "
                "one; state time_column, or call it time",
                field=f"inputs.{name}",
            )
            return _number_axis(name, values, options)
    return None


def _maybe_by_name(frame: Frame, name: str, values: FloatColumn) -> bool:
    if not frame.named or time_name(name) != "maybe":
        return False
    return are_evenly_spaced(values, 0.5 if _is_monotonic(values) else 0.9)


def _by_epoch(frame: Frame, name: str, values: FloatColumn) -> bool:
    del frame
    known = values[np.isfinite(values)]
    if len(known) < 3 or len(np.unique(known)) < 3:
        return False
    dated = calendar_seconds(known, name)
    return (
        epoch_unit(known) is not None or (dated is not None and known.min() > 1e7)
    ) and are_evenly_spaced(known if dated is None else dated)


def _by_even_steps(frame: Frame, name: str, values: FloatColumn) -> bool:
    del frame, name
    return _is_monotonic(values) and are_evenly_spaced(values, 0.9)


_NUMBER_TESTS: tuple[Callable[[Frame, str, FloatColumn], bool], ...] = (
    _maybe_by_name,
    _by_epoch,
    _by_even_steps,
)


def _is_monotonic(values: FloatColumn) -> bool:
    steps = np.diff(values)
    return len(steps) > 1 and bool((steps > 0).all() or (steps < 0).all())


def _finish(axis: TimeAxis, frame: Frame, options: TimeOptions) -> TimeAxis:
    """Add the time of day of another column to dates; count on beyond midnight without dates."""
    if axis.absolute and not axis.has_clock and _repeat(axis.values):
        rest = frame.without(axis.columns)
        times = [
            (name, axis_of_day.values)
            for name in rest.columns
            if holds_time_texts(rest, name)
            and (axis_of_day := _try_text(rest, name, options)) is not None
            and not axis_of_day.absolute
        ]
        columns, values, has_clock = add_clock(axis.values, rest, times)
        return replace(axis, columns=(*axis.columns, *columns), values=values, has_clock=has_clock)
    if not axis.absolute and axis.unit == "s" and frame.columns[axis.columns[0]].dtype == object:
        # Times of day start again at midnight.
        steps = np.diff(axis.values)
        midnights = steps < -_HALF_DAY_S
        if midnights.any() and (steps[~midnights] >= 0).all():
            days = np.concatenate(([0.0], np.cumsum(midnights)))
            return replace(axis, values=axis.values + days * DAY_S)
    return axis


def _repeat(values: FloatColumn) -> bool:
    known = values[np.isfinite(values)]
    return len(np.unique(known)) < len(known)


def _read_named(frame: Frame, name: str, options: TimeOptions) -> TimeAxis:
    """Read a column that holds times; every cell must be one."""
    column = frame.columns[name]
    if column.dtype.kind == "M":
        return _moments(frame, name)
    if (values := floats(frame, name)) is not None:
        return _number_axis(name, values, options)
    found = read_date_column(text_cells(column), name, order=options.date_order)
    if isinstance(found, DateColumn):
        return _text_axis(name, found)
    if is_number(column[0]) and is_number(column[found]):
        # Of a column of numbers, the cell that is none is wrong.
        found = next((row for row, cell in enumerate(column) if not is_number(cell)), found)
    raise InvalidInputError(
        f"column {name!r}, row {frame.row_number(found)}: expected a date or time, "
        f"got {str(column[found])[:40]!r}; write times as 2024-12-31 13:00:00",
        field=f"inputs.{name}",
    )


def _try_text(frame: Frame, name: str, options: TimeOptions) -> TimeAxis | None:
    found = read_date_column(text_cells(frame.columns[name]), name, order=options.date_order)
    return None if isinstance(found, int) else _text_axis(name, found)


def _text_axis(name: str, found: DateColumn) -> TimeAxis:
    return TimeAxis((name,), found.seconds, absolute=found.has_dates, has_clock=found.has_clock)


def _number_axis(name: str, values: FloatColumn, options: TimeOptions) -> TimeAxis:
    known = values[np.isfinite(values)]
    unit = options.time_unit or named_unit(name)
    if unit is None and (seconds := calendar_seconds(known, name)) is not None:
        dates = np.full(len(values), np.nan)
        dates[np.isfinite(values)] = seconds
        return TimeAxis((name,), dates, has_clock=bool((seconds % DAY_S != 0).any()))
    if unit is None:
        return TimeAxis((name,), values, unit=None, absolute=False)
    return TimeAxis(
        (name,), values / PER_SECOND[unit], unit=unit, absolute=epoch_unit(known) == unit
    )


def _moments(frame: Frame, name: str) -> TimeAxis:
    column = frame.columns[name]
    values = column.astype("datetime64[us]").astype(np.float64) / 1e6
    values[np.isnat(column)] = np.nan
    has_clock = bool((values[np.isfinite(values)] % DAY_S != 0).any())
    return TimeAxis((name,), values, has_clock=has_clock)
