"""Tables with a row per input: ``csv`` (and TSV), ``parquet`` and ``jsonl``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind, Value
from omnivec2.training.data.blocks.files import BlockFiles, did_you_mean, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names
from omnivec2.training.data.table_files import as_name, json_cell, read_json_lines, read_table

_VALUES = frozenset({Modality.TABULAR, Modality.TEXT, Modality.GRAPH, Modality.TIMESERIES})
"""Modalities whose inputs stand in the cells themselves; cells of the others name files."""

_LABELS = ("label", "target", "class", "y")
"""The columns that are taken for the label where the block names none."""


@dataclass(frozen=True)
class Rows:
    """The rows of one table.

    Attributes:
        columns: The name -> cells of every column.
        numbers: The number of each row in the file, from 1.
        unit: The word for a row in messages.
    """

    columns: Mapping[str, Sequence[Any]]
    numbers: Sequence[int]
    unit: str = "row"


class TableBlock(Block):
    """What the kinds of tables share."""

    input: Names = Field(
        default=(),
        description="columns of the input: of a text (two for a pair), a SMILES, a file's path; "
        "of tables all columns that nothing else names",
    )
    input_is: Literal["value", "path"] | None = Field(
        default=None, description="whether cells hold inputs or paths; follows the modality"
    )
    label: Names = Field(default=(), description="columns of the target")
    folder: str | None = Field(
        default=None, description="folder below --data of the paths; the table's own unless given"
    )
    recording: str | None = Field(
        default=None, description="column whose equal values make one input of several rows"
    )
    leave_out: Names = Field(default=(), description="columns that are no input")
    categories: Names = Field(
        default=(), description="columns of numbers that are names, such as postcodes"
    )
    missing: Names = Field(default=(), description="cells that stand for a missing value")
    only: dict[str, Names] = Field(default={}, description="column -> values of the rows to take")

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield an example per row, or per recording."""
        for part, path in self.paths(files):
            name = files.name(path)
            try:
                rows = self.read_rows(path)
                reader = _RowReader(self, files, rows, name, path.parent)
            except InputError as error:
                reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}, ")
                kind = ProblemKind.EMPTY if "empty" in reason else ProblemKind.UNREADABLE_FILE
                yield Problem(kind, Origin(name), reason)
                continue
            yield from reader.examples(part)

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of one file.

        Raises:
            InvalidInputError: It cannot be read; the message names the line.
        """
        raise NotImplementedError


class _RowReader:
    """Reads the rows of one table as a block says.

    Raises:
        InvalidInputError: A column is not there.
    """

    def __init__(
        self, block: TableBlock, files: BlockFiles, rows: Rows, name: str, folder: Path
    ) -> None:
        self.block, self.rows, self.name = block, rows, name
        self.missing = frozenset(block.missing)
        self.is_path = (block.input_is or _default_form(files.modality)) == "path"
        self.is_record = files.modality is Modality.TABULAR and not self.is_path
        self.is_text = files.modality is Modality.TEXT
        self.folder = files.root / block.folder if block.folder else folder
        self.labels = self._labels()
        self._require([*self.labels, *block.input, *block.only, *block.split_columns])
        if block.recording is not None:
            self._require([block.recording])
        self.inputs = list(block.input) or self._inputs()

    def examples(self, part: str | None) -> Iterator[Example | Problem]:
        """Yield the examples of the table."""
        kept = [index for index in range(len(self.rows.numbers)) if self._is_wanted(index)]
        if self.block.recording is not None:
            yield from self._recordings(part, kept)
            return
        for index in kept:
            origin = Origin(self.name, self.rows.numbers[index], self.rows.unit)
            value = self._value(index)
            if isinstance(value, Path) and not value.is_file():
                yield Problem(
                    ProblemKind.MISSING_FILE, origin, self._missing_file(self.inputs[0], value)
                )
                continue
            if value is None or value == "":
                yield Problem(
                    ProblemKind.EMPTY, origin, f"the input (column {self.inputs[0]!r}) is empty"
                )
                continue
            yield Example(value, self._target(index), origin, part, self._columns(index))

    def _labels(self) -> tuple[str, ...]:
        if self.block.label:
            return self.block.label
        known = [name for name in _LABELS if name in self.rows.columns]
        if not known:
            raise InvalidInputError(
                f"give label, the column of the target; the table has {self._names()}"
            )
        return (known[0],)

    def _inputs(self) -> list[str]:
        block = self.block
        taken = {*self.labels, *block.only, *block.leave_out, *block.split_columns}
        taken.add(block.recording or "")
        left = [name for name in self.rows.columns if name not in taken]
        if self.is_record or block.recording is not None or len(left) == 1:
            return left
        named = [name for name in left if name.lower() in _INPUTS]
        if not named:
            raise InvalidInputError(
                f"give input, the column of the input; the table has {self._names()}"
            )
        return named[:1]

    def _require(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.rows.columns:
                known = list(self.rows.columns)
                raise InvalidInputError(
                    f"there is no column {name!r}; there are {listed(known)}"
                    f"{did_you_mean(name, known)}"
                )

    def _names(self) -> str:
        return listed(list(self.rows.columns))

    def _is_wanted(self, index: int) -> bool:
        only = self.block.only.items()
        return all(as_name(self.rows.columns[name][index]) in values for name, values in only)

    def _cell(self, name: str, index: int) -> JsonValue:
        cell = json_cell(_plain(self.rows.columns[name][index]))
        if isinstance(cell, str) and self.is_record:
            cell = cell.strip()
        return None if self.missing and as_name(cell) in self.missing else cell

    def _value(self, index: int) -> Value:
        cells = {name: self._cell(name, index) for name in self.inputs}
        if self.is_record:
            return [cells]
        texts = ["" if cell is None else str(cell) for cell in cells.values()]
        if self.is_path:
            return self.folder / texts[0].strip() if texts[0].strip() else None
        if self.is_text and len(texts) == 2:
            return {"text": texts[0], "text_pair": texts[1]}
        return texts[0] if self.is_text else texts[0].strip()

    def _target(self, index: int) -> dict[str, Any]:
        return {name: _plain(self.rows.columns[name][index]) for name in self.labels}

    def _columns(self, index: int) -> dict[str, Any]:
        return {name: self.rows.columns[name][index] for name in self.block.split_columns}

    def _missing_file(self, column: str, path: Path) -> str:
        there = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, there)
        return f"the file of column {column!r} is not there: {path}{hint}"

    def _recordings(self, part: str | None, kept: Sequence[int]) -> Iterator[Example | Problem]:
        """Join the rows with the same value in the column of recordings, in their order."""
        column = str(self.block.recording)
        members: dict[str, list[int]] = {}
        for index in kept:
            members.setdefault(as_name(self.rows.columns[column][index]), []).append(index)
        for name, indices in members.items():
            first = indices[0]
            origin = Origin(self.name, self.rows.numbers[first], self.rows.unit)
            targets = [self._target(index) for index in indices]
            if any(target != targets[0] for target in targets):
                yield Problem(
                    ProblemKind.BAD_TARGET,
                    origin,
                    f"the rows of {column} {name!r} have different targets; expected one",
                )
                continue
            value: JsonValue = {
                key: [self._cell(key, index) for index in indices] for key in self.inputs
            }
            yield Example(value, targets[0], origin, part, self._columns(first))


class CsvBlock(TableBlock):
    """A CSV or TSV file, plain or gzipped, with or without a header line."""

    kind: Literal["csv"] = "csv"
    columns: Names = Field(
        default=(), description="the names of all columns, where the file has no header line"
    )
    tabs: bool = Field(
        default=False, description="fields end at tabs and quotes mean nothing, as in .tsv"
    )

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file; every row must have as many cells as the first."""
        frame = read_table(path, tabs=self.tabs, names=self.columns or None)
        numbers = [frame.row_number(row) for row in range(frame.rows)]
        columns = {
            name: frame.numbers(name)
            if cells.dtype == np.float64 or (name not in self.categories and frame.is_numeric(name))
            else cells
            for name, cells in frame.columns.items()
        }
        return Rows(columns, numbers)


class ParquetBlock(TableBlock):
    """A Parquet file; cells may be lists of tags and structs of bytes and path."""

    kind: Literal["parquet"] = "parquet"

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file."""
        from omnivec2.training.data.blocks.kinds.arrow_files import read_parquet_columns

        columns = read_parquet_columns(path)
        return Rows(columns, range(1, 1 + len(next(iter(columns.values()), ()))))


class JsonLinesBlock(TableBlock):
    """A file with a JSON object per line."""

    kind: Literal["jsonl"] = "jsonl"

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file; a key that a row lacks is an empty cell."""
        rows = read_json_lines(path)
        names = dict.fromkeys(name for _, row in rows for name in row)
        columns = {name: [row.get(name) for _, row in rows] for name in names}
        return Rows(columns, [number for number, _ in rows], "line")


_INPUTS = ("text", "sentence", "smiles", "path", "file", "file_name", "filename", "image", "audio")
"""The columns that are taken for the input where the block names none."""


def _default_form(modality: Modality) -> Literal["value", "path"]:
    return "value" if modality in _VALUES else "path"


def _plain(cell: Any) -> Any:
    """Return a cell of an array as Python's own type."""
    return cell.item() if isinstance(cell, np.generic) else cell
