"""The cells of a column that may hold times, as texts or as numbers of any size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.formats.tables.frame import MISSING_TEXTS, FloatColumn, Frame
from omnivec2.preprocess.formats.tables.times.date_texts import is_time_text
from omnivec2.preprocess.formats.tables.values.number_columns import read_numbers
from omnivec2.preprocess.formats.tables.values.number_text import plain_number


def text_cells(column: npt.NDArray[Any]) -> list[Any]:
    """Return the cells of a column of objects, None where a value is missing."""
    return [None if is_missing(cell) else cell for cell in column.tolist()]


def holds_time_texts(frame: Frame, name: str) -> bool:
    """Whether the first and the last cell of a column are text that spells a time."""
    column = frame.columns[name]
    if column.dtype != object:
        return False
    first = next((cell for cell in column if not is_missing(cell)), None)
    last = next((cell for cell in reversed(column) if not is_missing(cell)), None)
    return is_time_text(first) and is_time_text(last)


def is_missing(cell: Any) -> bool:
    """Whether a cell of any column holds nothing."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING_TEXTS
    if isinstance(cell, np.datetime64):
        return bool(np.isnat(cell))
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def floats(frame: Frame, name: str) -> FloatColumn | None:
    """Read a column of numbers of any size; None if it holds something else, or infinity."""
    values = _numbers(frame, name)
    return None if values is None or np.isinf(values).any() else values


def _numbers(frame: Frame, name: str) -> FloatColumn | None:
    column = frame.columns[name]
    if column.dtype == np.float64:
        return np.asarray(column, np.float64)
    if column.dtype != object:
        return None
    cells = text_cells(column)
    if any(isinstance(cell, bool) for cell in cells):
        return None
    try:
        # Decimal commas are left to the slower reader.
        if "_" not in "".join(cells):
            return np.array([float(cell) for cell in cells])
    except (TypeError, ValueError):
        pass
    found = read_numbers(cells, frame.decimal, frame.decimal_guess)
    return found.values if found.wrong is None else None


def is_number(cell: Any) -> bool:
    """Whether a cell is, or spells, a finite number."""
    number = plain_number(cell)
    return number is not None and math.isfinite(number)
