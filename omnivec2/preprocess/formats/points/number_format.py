"""How numbers are written in text: what separates them, and which mark is the decimal one."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import InvalidInputError, UndecodableError

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
MISSING = frozenset(
    {"", "nan", "-nan", "+nan", "na", "n/a", "null", "none", "nil", "-", "--", "?", "nan(ind)",
     "-nan(ind)", "1.#qnan", "-1.#ind", "1.#inf", "-1.#inf", "inf", "-inf", "+inf", "infinity"}
)  # fmt: skip
"""How programs write that a number is missing, in lower case."""

EXPECTED = "expected text with one point per line, at least three numbers each"
"""What errors say of lines that are no points."""


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a line are written.

    Attributes:
        separator: The text between them; None for blanks.
        decimal_comma: Whether a comma is the decimal mark.
        thousands: Whether points group the digits by thousands.
    """

    separator: str | None
    decimal_comma: bool = False
    thousands: bool = False

    def cells(self, line: str) -> list[str]:
        """Split a line into its cells, without quotes and blanks around them."""
        if '"' in line and self.separator is not None:
            try:
                row = next(csv.reader([line], delimiter=self.separator, skipinitialspace=True))
            except csv.Error as error:
                raise UndecodableError(EXPECTED, field="inputs") from error
            return [cell.strip() for cell in row]
        return [cell.strip().strip("\"'") for cell in line.split(self.separator)]

    def plain(self, text: str) -> str:
        """Return a text with decimal points instead of commas."""
        if self.thousands:
            text = text.replace(".", "")
        return text.replace(",", ".") if self.decimal_comma else text

    def number(self, cell: str) -> float | None:
        """Return the number in a cell; NaN if it is missing, None for other content."""
        if cell.lower() in MISSING:
            return np.nan
        plain = self.plain(cell)
        return float(plain.replace("d", "e").replace("D", "e")) if _is_number(plain) else None


def format_of(lines: Sequence[str]) -> NumberFormat:
    """Return how all numbers are written, as the first lines show it.

    Raises:
        InvalidInputError: There are both decimal commas and decimal points.
    """
    for separator in (";", "\t", "|"):
        if all(separator in line for line in lines):
            return _decimals([c for line in lines for c in line.split(separator)], separator)
    if not any("," in line for line in lines):
        return NumberFormat(None)
    words = [line.split() for line in lines]
    numbers = [word for row in words for word in row if _is_decimal(word) or _is_number(word)]
    by_blanks = [row for row in words if len(row) >= 3 and all(map(_is_decimal_or_name, row))]
    if len(by_blanks) == len(words) and any(map(_is_decimal, numbers)):
        return _decimals(numbers, None)
    if not all("," in line for line in lines[1:]):
        return NumberFormat(None)  # a comma in the names only
    if any('"' in line for line in lines):
        return _decimals([cell for line in lines for cell in NumberFormat(",").cells(line)], ",")
    return NumberFormat(",")


def _decimals(cells: Sequence[str], separator: str | None) -> NumberFormat:
    cells = [cell.strip().strip('"') for cell in cells]
    grouped = [cell for cell in cells if "." in cell and "," in cell]
    if not any(map(_is_decimal, cells)) and not grouped:
        return NumberFormat(separator)
    numbers = [cell for cell in cells if any(map(str.isdigit, cell)) and ("." in cell)]
    if any(not _THOUSANDS.fullmatch(cell) for cell in numbers if _is_number_like(cell)):
        raise InvalidInputError(
            "numbers have both commas and points; write them with one decimal mark and "
            "without marks for thousands",
            field="inputs",
        )
    return NumberFormat(separator, decimal_comma=True, thousands=bool(numbers))


def _is_decimal(cell: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(cell) is not None


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_number_like(cell: str) -> bool:
    return re.fullmatch(r"[+-]?[\d.,]+", cell) is not None


def _is_decimal_or_name(word: str) -> bool:
    return _is_decimal(word) or _is_number(word) or "," not in word
