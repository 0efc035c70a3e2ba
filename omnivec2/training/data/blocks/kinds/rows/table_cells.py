"""The cells of a table: texts, numbers, and encoded bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.tables.frame import Frame, to_column
from omnivec2.preprocess.formats.tables.values.number_columns import read_numbers
from omnivec2.training.data.table_files import as_name

Cells = Sequence[Any] | Array


@dataclass(frozen=True)
class CellBytes:
    """Encoded bytes in a cell, such as a picture of a Hugging Face data set."""

    data: bytes
    name: str

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data

    def __str__(self) -> str:
        return f"{self.name} {hashlib.sha256(self.data).hexdigest()}"


def stored_bytes(cell: Any, name: str) -> CellBytes | None:
    """Return the bytes of a cell of bytes, or of a struct of bytes and path; None for others."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return CellBytes(data, name) if isinstance(data, bytes) else None


@dataclass(frozen=True)
class Rows:
    """The rows of one table.

    Attributes:
        columns: The name -> cells of every column, as the file has them.
        numbers: The number of each row in the file, from 1.
        unit: The word for a row in messages.
        frame: The same columns, where texts may spell numbers.
    """

    columns: Mapping[str, Cells]
    numbers: Sequence[int]
    unit: str = "row"
    frame: Frame | None = None

    def without(self, missing: frozenset[str]) -> Rows:
        """Return the rows with None in the cells that stand for a missing value."""
        if not missing:
            return self
        columns = {
            name: to_column([None if as_name(cell) in missing else cell for cell in cells])
            for name, cells in self.columns.items()
        }
        frame = None if self.frame is None else replace(self.frame, columns=columns)
        return replace(self, columns=columns, frame=frame)

    def read_numbers(self, name: str) -> tuple[Cells, list[int]]:
        """Return a column as numbers if it is one, and the rows whose cells are none.

        A column is one of numbers if most of its cells are; cells that are none stay as they are.

        Raises:
            InvalidInputError: Each cell may be a number, but not all of them in one way, as where
                decimal points and commas are mixed.
        """
        cells = self.columns[name]
        if self.frame is None:
            return cells, _texts_among_numbers(cells)
        frame = self.frame
        if frame.is_numeric(name):
            try:
                return frame.numbers(name), []
            except InvalidInputError:
                pass
        if frame.columns[name].dtype != object:
            return cells, []
        alone = {
            cell: read_numbers([cell], frame.decimal, frame.decimal_guess)
            for cell in dict.fromkeys(cells)
        }
        wrong = [row for row, cell in enumerate(cells) if alone[cell].wrong is not None]
        if len(wrong) >= sum(bool(np.isfinite(alone[cell].values[0])) for cell in cells):
            return cells, []
        known = np.array(cells, dtype=object)
        known[wrong] = None
        found = np.array(Frame.numbers(replace(frame, columns={name: known}), name), dtype=object)
        for row in wrong:
            found[row] = cells[row]
        return found, wrong


def _texts_among_numbers(cells: Cells) -> list[int]:
    """Return the rows of texts in a column of typed cells, of which most are numbers."""
    numbers = sum(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
    if not numbers:
        return []
    wrong = [row for row, cell in enumerate(cells) if read_numbers([cell]).wrong is not None]
    return wrong if len(wrong) < numbers else []


def named_rows(columns: Mapping[str, Sequence[Any]], classes: Mapping[str, Sequence[str]]) -> Rows:
    """Return rows with the names of classes instead of their numbers."""
    named = {
        name: [_class_name(cell, classes[name]) for cell in cells] if name in classes else cells
        for name, cells in columns.items()
    }
    return Rows(named, range(1, 1 + len(next(iter(columns.values()), ()))))


def _class_name(cell: Any, names: Sequence[str]) -> Any:
    if isinstance(cell, list):
        return [_class_name(one, names) for one in cell]
    known = isinstance(cell, int) and 0 <= cell < len(names)
    # The library writes -1 where a label is unknown.
    return names[cell] if known else None if cell == -1 else cell
