"""Columns of numbers as people write them: one decimal mark and one unit each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivec2.preprocess.formats.tables.values.number_text import (
    MISSING_TEXTS,
    Decimal,
    FloatColumn,
    NumberText,
    can_be_thousands,
    plain_number,
    split_number,
)

_LOOKED_AT = 500
"""The cells of a column that are looked at for the decimal mark of its table."""


@dataclass(frozen=True)
class NumberTexts:
    """The numbers of a column of texts.

    Attributes:
        values: A float64 array (rows,), NaN where missing; unset from ``wrong`` on.
        wrong: The first row that holds no number, or None.
        reason: The cause, if more is known than that it is no number.
        unit: The unit or currency that stands in every cell, or "".
        guessed: The decimal mark that was guessed, or None if it was clear.
    """

    values: FloatColumn
    wrong: int | None = None
    reason: str = ""
    unit: str = ""
    guessed: Decimal | None = None


def read_numbers(
    cells: Sequence[Any], decimal: Decimal | None = None, guess: Decimal = "."
) -> NumberTexts:
    """Read a column of numbers in any form; all cells must agree on decimal mark and unit.

    Args:
        cells: The texts, numbers and None.
        decimal: The decimal mark if it is stated.
        guess: The mark that is assumed of a column that can be read both ways.
    """
    if (plain := _with_decimal_commas(cells, decimal)) is not None:
        return NumberTexts(plain)
    if (found := _with_one_unit(cells, decimal, guess)) is not None:
        return found
    values = np.full(len(cells), np.nan)
    written: list[tuple[int, NumberText]] = []
    for row, cell in enumerate(cells):
        number = plain_number(cell)
        is_text = isinstance(cell, str) and number is not None and not math.isnan(number)
        parts = (
            split_number(cell) if isinstance(cell, str) and (number is None or is_text) else None
        )
        if parts is not None:
            written.append((row, parts))
        elif number is None or (is_text and not math.isfinite(number)):
            return NumberTexts(values, row)
        if number is not None:
            values[row] = number
    marks = {parts.decimal for _, parts in written} - {None}
    if decimal is None and len(marks) > 1:
        row = next(row for row, parts in written if parts.decimal == ",")
        return NumberTexts(values, row, "the column mixes decimal points and decimal commas")
    units = {parts.unit for _, parts in written}
    if len(units) > 1:
        row = next(row for row, parts in written if parts.unit != written[0][1].unit)
        shown = " and ".join(repr(unit) if unit else "none" for unit in sorted(units)[:3])
        return NumberTexts(values, row, f"the column mixes units: {shown}")
    clear = decimal or next(iter(marks), None)
    mark: Decimal = clear or guess
    # What Python reads as it stands needs no word unless it is read otherwise.
    other = "," if mark == "." else "."
    ambiguous = any(other in parts.digits or "," in parts.digits for _, parts in written)
    for row, parts in written:
        value = parts.value(mark)
        if value is None:
            return NumberTexts(values, row, f"decimals of this table follow {mark!r}")
        values[row] = value
    guessed = mark if clear is None and ambiguous else None
    return NumberTexts(values, unit=next(iter(units), ""), guessed=guessed)


def _with_decimal_commas(cells: Sequence[Any], decimal: Decimal | None) -> FloatColumn | None:
    """Read texts with nothing but clear decimal commas at once; None if there is more to them."""
    if decimal == "." or any(type(cell) is not str or "." in cell or "_" in cell for cell in cells):
        return None
    clear = decimal == "," or any("," in cell and not can_be_thousands(cell, ",") for cell in cells)
    if not clear:
        return None
    texts = [cell.replace(",", ".") or "nan" for cell in cells]
    try:
        values = np.array(texts, dtype=object).astype(np.float64)
    except ValueError:
        return None
    return None if np.isinf(values).any() else values


def _with_one_unit(
    cells: Sequence[Any], decimal: Decimal | None, guess: Decimal
) -> NumberTexts | None:
    """Read texts of plain numbers before one unit at once; None if there is more to them."""
    first = cells[0] if len(cells) else None
    parts = split_number(first) if isinstance(first, str) else None
    if parts is None or not parts.unit or "," in (decimal, guess):
        return None
    unit = parts.unit
    if any(type(cell) is not str or not (cell.endswith(unit) or not cell) for cell in cells):
        return None
    if any("," in cell or "_" in cell for cell in cells):
        return None
    try:
        texts = [cell.removesuffix(unit) if cell else "nan" for cell in cells]
        values = np.array(texts, dtype=object).astype(np.float64)
    except ValueError:
        return None
    return None if np.isinf(values).any() else NumberTexts(values, unit=unit)


def common_decimal(columns: Iterable[Sequence[Any]], *, otherwise: Decimal) -> Decimal:
    """Return the decimal mark that the columns of numbers of a table show.

    Args:
        columns: The cells of each column.
        otherwise: The mark of a table whose columns show none, or both.
    """
    found: set[Decimal] = set()
    for cells in columns:
        marks: set[Decimal | None] = set()
        for cell in cells[:_LOOKED_AT]:
            if not isinstance(cell, str) or cell.strip().lower() in MISSING_TEXTS:
                continue
            if (parts := split_number(cell)) is None:
                marks.clear()
                break
            marks.add(parts.decimal)
        found |= {mark for mark in marks if mark is not None}
    return found.pop() if len(found) == 1 else otherwise
