"""The cells of a table: texts, numbers, and encoded bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.tables.frame import MISSING_TEXTS, Frame, to_column
from omnivec2.preprocess.formats.tables.values.number_text import plain_number
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

        A column is one of numbers if most of its cells are.
        """
        cells = self.columns[name]
        if self.frame is None or not self.frame.is_numeric(name):
            return cells, []
        try:
            return self.frame.numbers(name), []
        except InvalidInputError:
            wrong = [row for row, cell in enumerate(cells) if not _may_be_number(cell)]
            return cells, wrong if 0 < len(wrong) < len(cells) / 2 else []


def _may_be_number(cell: Any) -> bool:
    if isinstance(cell, str) and cell.strip().lower() in MISSING_TEXTS:
        return True
    return cell is None or plain_number(cell) is not None


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
