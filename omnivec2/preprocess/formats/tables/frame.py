"""Named columns of equal length: the common form of CSV, Parquet and JSON tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array, json_type
from omnivec2.preprocess.formats.tables.values import number_text
from omnivec2.preprocess.formats.tables.values.number_columns import NumberTexts, read_numbers
from omnivec2.preprocess.formats.tables.values.number_text import Decimal, plain_number
from omnivec2.preprocess.notes import NoteCode, note

FloatColumn = number_text.FloatColumn
MISSING_TEXTS = number_text.MISSING_TEXTS

LARGEST_NUMBER = 1e15
"""The largest magnitude accepted: its square still fits float32, which graphs compute in."""


@dataclass(frozen=True)
class Frame:
    """Named columns of equal length.

    Attributes:
        columns: The name -> array (rows,) of each column, in one of three forms: float64
            with NaN for missing; datetime64; or objects (str, float, bool, None for missing).
        named: Whether the source named its columns; if not, they are ``column 1``, ...
        text_numbers: Whether text may spell a number, as in CSV.
        origin: The index of each row in the source, an int array (rows,), for messages;
            None if the rows are those of the source.
        decimal: The decimal mark of numbers that are text, if it is stated.
        decimal_guess: The mark that is assumed where such numbers can be read both ways.
        units: The column -> unit of a row of units below the names.
        twice: The names of several columns with different values, which are left out.
    """

    columns: Mapping[str, Array]
    named: bool = True
    text_numbers: bool = True
    origin: Array | None = None
    decimal: Decimal | None = None
    decimal_guess: Decimal = "."
    units: Mapping[str, str] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any] | Array]) -> Frame:
        """Build a frame from arrays or lists in memory, as in training."""
        return cls({name: to_column(values) for name, values in columns.items()})

    @property
    def rows(self) -> int:
        """The number of rows."""
        return next((len(column) for column in self.columns.values()), 0)

    def take(self, rows: Array) -> Frame:
        """Select rows by index; they keep their numbers in messages."""
        origin = rows if self.origin is None else self.origin[rows]
        columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(self, columns=columns, origin=origin)

    def without(self, names: Sequence[str]) -> Frame:
        """Return a frame of the other columns."""
        return replace(self, columns={n: c for n, c in self.columns.items() if n not in names})

    def row_number(self, row: int) -> int:
        """Return the number of a row in the source, from 1 (a header line is not counted)."""
        return 1 + (row if self.origin is None else int(self.origin[row]))

    def require(self, names: Sequence[str]) -> None:
        """Raise ``InvalidInputError`` if a column is missing; others may be present."""
        missing = [name for name in names if name not in self.columns]
        for name in missing:
            if name in self.twice:
                raise InvalidInputError(
                    f"two columns are named {name!r} and hold different values",
                    field=f"inputs.{name}",
                )
        if missing:
            close = [c for m in missing for c in get_close_matches(m, list(self.columns), 1, 0.75)]
            hint = f"; is {close[0]!r} meant?" if close and self.named else ""
            raise InvalidInputError(
                f"missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}; "
                f"the table has {self._names_there(len(missing) == len(names))}{hint}",
                field=f"inputs.{missing[0]}",
            )

    def _names_there(self, nothing_fits: bool) -> str:
        if not self.named:
            return "no names: send a header line, a list of row objects, or pandas' orient 'split'"
        there = ", ".join(map(repr, list(self.columns)[:50]))
        return there + "; does it lack a header line?" * nothing_fits

    def numbers(self, name: str) -> FloatColumn:
        """Read a column as float64, NaN where missing.

        Raises:
            InvalidInputError: a value is not a finite number; the message names row and column.
        """
        column = self.columns[name]
        if column.dtype == np.float64:
            values = np.asarray(column, np.float64)
        elif column.dtype == object:
            values = self._numbers_of_objects(column, name)
        else:
            raise InvalidInputError(
                f"column {name!r} holds dates; expected numbers", field=f"inputs.{name}"
            )
        # Comparisons with NaN are false, so missing values pass.
        wrong = np.abs(values) > LARGEST_NUMBER
        if wrong.any():
            row = int(wrong.argmax())
            raise self._bad_cell(name, row, repr(float(values[row])))
        return values

    def _numbers_of_objects(self, column: Array, name: str) -> FloatColumn:
        if not self.text_numbers:
            cells = (self._number(cell, name, row) for row, cell in enumerate(column))
            return np.fromiter(cells, np.float64, len(column))
        plain = self._plain_numbers(column)
        if plain is not None:
            return plain
        found = read_numbers(column.tolist(), self.decimal, self.decimal_guess)
        if found.wrong is not None:
            cell = column[found.wrong]
            text = cell if isinstance(cell, str) else repr(cell)
            is_comma = "," in text and not found.reason
            hint = "a decimal comma or thousands separator stands where it fits no number"
            reason = f"; {found.reason or hint}" if found.reason or is_comma else ""
            raise self._bad_cell(name, found.wrong, _quote(cell) + reason)
        _note_form(name, found)
        return found.values

    def _plain_numbers(self, column: Array) -> FloatColumn | None:
        """Convert all cells at once if each is text that spells a number, else return None."""
        if set(map(type, column)) != {str} or any("_" in cell for cell in column):
            return None
        if "," in (self.decimal, self.decimal_guess) and any("." in cell for cell in column):
            return None
        try:
            return column.astype(np.float64)
        except ValueError:
            return None

    def texts(self, name: str) -> list[str | None]:
        """Read a column as stripped text, None where missing or empty."""
        return [_text(cell) for cell in self.columns[name].tolist()]

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds a number, or nothing but missing values."""
        column = self.columns[name]
        if column.dtype != object:
            return column.dtype == np.float64
        seen = False
        for cell in column:
            number = plain_number(cell) if self.text_numbers or not isinstance(cell, str) else None
            if number is not None and not math.isnan(number):
                return True
            seen = seen or number is None
        if not seen or not self.text_numbers:
            return not seen
        return read_numbers(column.tolist(), self.decimal, self.decimal_guess).wrong is None

    def _number(self, cell: Any, name: str, row: int) -> float:
        if isinstance(cell, str) and not self.text_numbers:
            if cell.strip().lower() in MISSING_TEXTS:
                return math.nan
            raise self._bad_cell(name, row, f"the string {_quote(cell)}")
        number = plain_number(cell)
        if number is None:
            raise self._bad_cell(name, row, _quote(cell))
        return number

    def _bad_cell(self, name: str, row: int, found: str) -> InvalidInputError:
        return InvalidInputError(
            f"column {name!r}, row {self.row_number(row)}: expected a finite number, got {found}",
            field=f"inputs.{name}",
        )


def to_column(values: Sequence[Any] | Array) -> Array:
    """Convert values to an array in one of the forms of :class:`Frame`."""
    array = np.asarray(values)
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind == "M":
        return array
    column = np.empty(len(values), dtype=object)
    column[:] = array.tolist() if array.dtype.kind in "UTb" else list(values)
    return column


def column_from_json(values: Sequence[Any], name: str) -> Array:
    """Convert JSON values to a column: numbers and nulls to float64, anything else to objects.

    Raises:
        InvalidInputError: a value is an object or a list, or a number beyond float64.
    """
    numeric = True
    for row, cell in enumerate(values):
        if isinstance(cell, dict | list):
            raise InvalidInputError(
                f"column {name!r}, row {row + 1}: expected a number or a string, "
                f"got {json_type(cell)}",
                field=f"inputs.{name}",
            )
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            if not _finite(cell):
                raise InvalidInputError(
                    f"column {name!r}, row {row + 1}: expected a finite number",
                    field=f"inputs.{name}",
                )
        elif cell is not None:
            numeric = False
    if numeric:
        return np.array([math.nan if cell is None else cell for cell in values], np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _finite(number: int | float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _note_form(name: str, found: NumberTexts) -> None:
    if found.unit:
        note(
            NoteCode.IGNORED,
            f"column {name!r}: the unit {found.unit!r} beside its numbers was left out; they are "
            "read as they stand",
            field=name,
        )
    if found.guessed is not None:
        other, kind = (",", "comma") if found.guessed == "." else (".", "point")
        note(
            NoteCode.GUESSED,
            f"column {name!r}: its numbers can be read in two ways; {other!r} was taken as a "
            f"thousands separator, not as a decimal {kind}; the parameter 'decimal' states it",
            field=name,
        )


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        if math.isnan(cell):
            return None
        return str(int(cell)) if float(cell).is_integer() else repr(cell)
    return str(cell)


def _quote(cell: Any) -> str:
    """Quote a cell for a message, cut to a readable length."""
    if isinstance(cell, bool):
        return "a boolean"
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:39]}…"
