"""Columns of date texts -> seconds; whether the day or the month comes first.

Numbers such as 01/02/2024 are read in the order that fits the whole column: a 31 must be a day.
If two orders fit, the one that makes evenly spaced times is taken, and noted; if that does not
decide either, the column is refused with both readings, unless they are equally far apart, as in
a recording of one day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import FloatColumn
from omnivec2.preprocess.formats.tables.times.date_texts import TimeParts, TimeTexts, full_year
from omnivec2.preprocess.notes import NoteCode, note

DateOrder = Literal["dmy", "mdy", "ymd"]
"""The order of day, month and year in dates that are numbers."""

DAY_S = 86_400.0

_ISO_LENGTHS = frozenset({10, 16, 19, *range(21, 27)})
_ISO_CHARACTERS = re.compile(r"[0-9 T:.\-]*")
_ISO_START = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?", re.ASCII)
_UTC_ENDS = ("Z", "+00:00", " UTC", "+0000")

_EVEN, _UNEVEN = 0.9, 0.6
"""Shares of the time between even steps: from the first on it is even, below the second not."""


@dataclass(frozen=True)
class DateColumn:
    """A column of texts, read.

    Attributes:
        seconds: A float64 array (rows,): seconds since 1970, or since midnight if there are no
            dates; NaN where a cell is missing.
        has_dates: Whether the cells hold dates.
        has_clock: Whether any of them holds a time of day.
    """

    seconds: FloatColumn
    has_dates: bool
    has_clock: bool


def read_date_column(
    cells: Sequence[Any], name: str, *, order: DateOrder | None = None
) -> DateColumn | int:
    """Read a column of texts.

    Args:
        cells: The texts; None where a value is missing.
        name: The name of the column, for messages.
        order: The order of day, month and year, if it is known.

    Returns:
        The column, or the index of the first cell that is no date or time as the others are.

    Raises:
        InvalidInputError: the order of days and months cannot be told.
    """
    seconds = _iso_seconds(cells)
    if seconds is not None:
        return DateColumn(seconds, True, any(len(str(cell)) > 10 for cell in cells[:50]))
    texts = TimeTexts()
    parts: list[TimeParts | None] = []
    for row, cell in enumerate(cells):
        parts.append(None if cell is None else texts.split(cell))
        if cell is not None and parts[-1] is None:
            return row
    present = [part for part in parts if part is not None]
    if not present:
        return 0
    dated = {part.layout != "clock" for part in present}
    if len(dated) > 1:
        first = present[0].layout == "clock"
        return next(
            row for row, part in enumerate(parts) if part and (part.layout == "clock") != first
        )
    days = _days(parts, cells, name, order)
    if isinstance(days, int):
        return days
    clock = np.array([np.nan if part is None else part.seconds for part in parts])
    return DateColumn(days * DAY_S + clock, dated.pop(), any(part.clock for part in present))


def _iso_seconds(cells: Sequence[Any]) -> FloatColumn | None:
    """Read dates that all are ISO 8601 and of one time zone at once; None if they are not."""
    try:
        joined = "".join(cells)
    except TypeError:
        return None
    for end in _UTC_ENDS:
        if cells[0].endswith(end) and all(cell.endswith(end) for cell in cells):
            cells = [cell.removesuffix(end) for cell in cells]
            joined = "".join(cells)
            break
    if joined.count("-") != 2 * len(cells) or not _ISO_CHARACTERS.fullmatch(joined):
        return None
    if not _ISO_START.fullmatch(cells[0]) or not {len(cell) for cell in cells} <= _ISO_LENGTHS:
        return None
    try:
        return np.array(cells, "datetime64[us]").astype(np.float64) / 1e6
    except ValueError:
        return None


def _days(
    parts: Sequence[TimeParts | None], cells: Sequence[Any], name: str, order: DateOrder | None
) -> FloatColumn | int:
    """Return days since 1970, or the days that a duration counts; or the index of a wrong cell."""
    rows = np.array([row for row, part in enumerate(parts) if part is not None])
    numbers = np.array([part[1:4] for part in parts if part is not None], np.int64)
    layouts = np.array([part.layout for part in parts if part is not None])
    values = np.full(len(parts), np.nan)
    written = layouts == "clock"
    values[rows[written]] = numbers[written, 0]
    written = layouts == "ymd"
    values[rows[written]] = _day_numbers(*numbers[written].T)[0]
    written = layouts == "abc"
    if not written.any():
        return values
    short = np.array([part.short_year for part in parts if part is not None])[written]
    readings = _readings(numbers[written], short, order)
    valid = {key: days for key, days in readings.items() if np.isfinite(days).all()}
    where = rows[written]
    if not valid:
        best = max(readings.values(), key=lambda days: int(np.isfinite(days).sum()))
        return int(where[np.flatnonzero(np.isnan(best))[0]])
    dotted = re.match(r"\s*\d+\.\d", str(cells[where[0]])) is not None
    clock = np.array([part.seconds for part in parts if part is not None])[written]
    values[where] = _decide(valid, clock, name, [str(cells[row]) for row in where], dotted=dotted)
    return values


def _readings(
    numbers: npt.NDArray[np.int64], short: npt.NDArray[np.bool_], order: DateOrder | None
) -> dict[DateOrder, FloatColumn]:
    """Return the days of each order, NaN where there is no such day."""
    first, second, third = numbers.T
    orders: tuple[DateOrder, ...] = get_args(DateOrder) if order is None else (order,)
    readings: dict[DateOrder, FloatColumn] = {}
    for key in orders:
        if key == "ymd" and not short.all():
            continue
        year, month, day = {
            "dmy": (third, second, first),
            "mdy": (third, first, second),
            "ymd": (first, second, third),
        }[key]
        if short.any():
            year = np.array([full_year(y) if s else y for y, s in zip(year, short, strict=True)])
        readings[key], wrong = _day_numbers(year, month, day)
        readings[key][wrong] = np.nan
    return readings or _readings(numbers, short, None)


def _day_numbers(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> tuple[FloatColumn, npt.NDArray[np.bool_]]:
    """Return days since 1970 of dates, and which of them do not exist."""
    start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[D]")
    after = ((year - 1970) * 12 + month).astype("datetime64[M]").astype("datetime64[D]")
    length = (after - start).astype(np.int64)
    wrong = (month < 1) | (month > 12) | (day < 1) | (day > length)
    return (start.astype(np.int64) + day - 1).astype(np.float64), wrong


def _decide(
    readings: dict[DateOrder, FloatColumn],
    clock: FloatColumn,
    name: str,
    cells: Sequence[str],
    *,
    dotted: bool,
) -> FloatColumn:
    """Choose the reading that makes sense of the column."""
    keys = list(readings)
    first = readings[keys[0]]
    if len(keys) == 1:
        return first
    if dotted and "dmy" in readings:
        # Nobody who writes the month first separates with dots.
        return readings["dmy"]
    if all(np.array_equal(np.diff(days), np.diff(first)) for days in readings.values()):
        return first
    shares = {key: _evenness(days * DAY_S + clock) for key, days in readings.items()}
    # The fifth of May says nothing.
    row = int(np.argmax(readings[keys[0]] != readings[keys[1]]))
    cell = cells[row].strip()
    best = max(shares, key=lambda key: shares[key])
    others = [share for key, share in shares.items() if key != best]
    if shares[best] >= _EVEN and max(others) < _UNEVEN:
        note(
            NoteCode.GUESSED,
            f"dates such as {cell!r} are read as {_spelled(readings[best][row])}, which makes the "
            "times evenly spaced; write dates as 2024-12-31, or state date_order",
            field=f"inputs.{name}",
        )
        return readings[best]
    ways = " or ".join(f"{_spelled(days[row])} ({key!r})" for key, days in readings.items())
    raise InvalidInputError(
        f"column {name!r}: the date {cell!r} may be {ways}, and no other row decides; write "
        "dates as 2024-12-31, or state date_order",
        field=f"inputs.{name}",
    )


def _evenness(seconds: FloatColumn) -> float:
    """Return how much of the time from the first to the last row lies between even steps.

    Months are equally long here.
    """
    steps = np.diff(np.unique(seconds)) / DAY_S
    if len(steps) < 3:
        return 0.0
    steps = np.where((steps >= 28) & (steps <= 31), 30.0, np.round(steps, 6))
    kinds, counts = np.unique(steps, return_counts=True)
    most = int(counts.argmax())
    return float(kinds[most] * counts[most] / steps.sum())


def _spelled(days: float) -> str:
    return f"{np.datetime64(int(days), 'D').item():%-d %B %Y}"
