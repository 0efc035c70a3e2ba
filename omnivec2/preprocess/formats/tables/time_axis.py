"""The time column of a table: how it is found and read as seconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import MISSING_TEXTS, FloatColumn, Frame

_TIME_NAME = re.compile(
    r"(date|datetime|time|timestamp|ds|seconds|elapsed)([ _(\[-].*)?", re.IGNORECASE
)
ISO_8601 = "ISO 8601"
_FORMATS = (
    ISO_8601,
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)
"""In all formats but the first, single-digit months and hours need no leading zero."""

MAX_TIME_CHARACTERS = 64
"""A longer cell is no time."""


def find_time_column(frame: Frame) -> str | None:
    """Find the time column: by its type, else by its name, else because it holds dates."""
    for name, column in frame.columns.items():
        if column.dtype.kind == "M":
            return name
    for name in frame.columns:
        if frame.named and _TIME_NAME.fullmatch(name.strip()):
            return name
    for name, column in frame.columns.items():
        if column.dtype == object and is_time_text(column[0]) and is_time_text(column[-1]):
            return name
    return None


def read_seconds(frame: Frame, name: str) -> FloatColumn:
    """Read a time column as float64: dates as seconds since 1970, numbers as they are.

    Raises:
        InvalidInputError: a value is missing or not a time; the message names row and column.
    """
    column = frame.columns[name]
    if column.dtype.kind == "M":
        values = column.astype("datetime64[us]").astype(np.float64) / 1e6
        values[np.isnat(column)] = np.nan
    elif column.dtype == object and is_time_text(next(iter(column), None)):
        values = _timestamps(column.tolist())
    else:
        values = frame.numbers(name)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        row = int(wrong[0])
        raise InvalidInputError(
            f"column {name!r}, row {frame.row_number(row)}: expected a date or time, "
            f"got {str(column[row])[:40]!r}",
            field=f"inputs.{name}",
        )
    return values


def is_time_text(cell: Any) -> bool:
    """Whether a cell is text that spells a date or a date with a time."""
    if not isinstance(cell, str) or cell.strip().lower() in MISSING_TEXTS or _is_number(cell):
        return False
    return any(math.isfinite(_timestamp(cell, form)) for form in _FORMATS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _timestamps(cells: list[Any]) -> FloatColumn:
    """Parse times in the format of the first one; NaN from the first other format on."""
    values = np.full(len(cells), np.nan)
    form = next((f for f in _FORMATS if math.isfinite(_timestamp(cells[0], f))), _FORMATS[0])
    for row, cell in enumerate(cells):
        values[row] = _timestamp(cell, form)
        if math.isnan(values[row]):
            break
    return values


def _timestamp(cell: Any, form: str) -> float:
    """Parse seconds since 1970 (UTC unless the text has a time zone); NaN in another format."""
    if not isinstance(cell, str) or len(cell) > MAX_TIME_CHARACTERS:
        return math.nan
    text = cell.strip()
    try:
        iso = form == ISO_8601
        moment = datetime.fromisoformat(text) if iso else datetime.strptime(text, form)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
