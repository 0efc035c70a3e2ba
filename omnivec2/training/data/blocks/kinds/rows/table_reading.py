"""What the kinds of tables share: the fields of their blocks, and the reader of their rows."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data.blocks.examples import (
    Example,
    Origin,
    Problem,
    ProblemKind,
    Value,
    folder_in_place_of_table,
)
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names
from omnivec2.training.data.blocks.kinds.rows.table_cells import Cells, Rows, stored_bytes
from omnivec2.training.data.table_files import as_name, json_cell
from omnivec2.training.yaml_lines import did_you_mean

_VALUES = frozenset({Modality.TABULAR, Modality.TEXT, Modality.GRAPH, Modality.TIMESERIES})
"""Modalities whose inputs stand in the cells themselves; cells of the others name files."""

_LABELS = ("label", "target", "class", "y")
"""The columns that are taken for the label where the block names none."""

_INPUTS = (
    "text", "sentence", "smiles", "path", "file", "file_name", "filename", "image", "audio", "img",
)  # fmt: skip
"""The columns that are taken for the input where the block names none."""


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
            if path.is_dir():
                yield folder_in_place_of_table(name)
                continue
            try:
                rows = self.read_rows(path)
                found = read_table_rows(self, files, rows, path, part)
            except InputError as error:
                reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}, ")
                kind = ProblemKind.EMPTY if "empty" in reason else ProblemKind.UNREADABLE_FILE
                yield Problem(kind, Origin(name), reason)
                continue
            yield from found

    @abstractmethod
    def read_rows(self, path: Path) -> Rows:
        """Return the rows of one file.

        Raises:
            InvalidInputError: It cannot be read; the message names the line.
        """


def read_table_rows(
    block: TableBlock, files: BlockFiles, rows: Rows, path: Path, part: str | None
) -> Iterator[Example | Problem]:
    """Return the examples of one table.

    Args:
        block: The block.
        files: The directory of data and the modality.
        rows: The rows of the table.
        path: The file of the table.
        part: The part that its place says.

    Raises:
        InvalidInputError: A column is not there.
    """
    return _RowReader(block, files, rows, files.name(path), path.parent).examples(part)


class _RowReader:
    """Reads the rows of one table as a block says.

    Raises:
        InvalidInputError: A column is not there.
    """

    def __init__(
        self, block: TableBlock, files: BlockFiles, rows: Rows, name: str, folder: Path
    ) -> None:
        self.block, self.name = block, name
        self.rows = rows.without(frozenset(block.missing))
        self.is_path = (block.input_is or _default_form(files.modality)) == "path"
        self.is_record = files.modality is Modality.TABULAR and not self.is_path
        self.is_text = files.modality is Modality.TEXT
        self.folder = files.root / block.folder if block.folder else folder
        self.stems: dict[Path, dict[str, list[Path]]] = {}
        self.labels = self._labels()
        self._require([*self.labels, *block.input, *block.only, *block.split_columns])
        if block.recording is not None:
            self._require([block.recording])
        self.inputs = list(block.input) or self._inputs()
        # Codes of categories and classes keep their leading zeros.
        counted = self.inputs if self.is_record or block.recording else []
        counted = [name for name in counted if name not in block.categories]
        self.cells: dict[str, Cells] = dict(self.rows.columns)
        self.wrong: dict[int, str] = {}
        if block.target.family is TaskFamily.REGRESSION:
            self.cells |= {label: self.rows.read_numbers(label)[0] for label in self.labels}
        for column in counted:
            self.cells[column], wrong = self.rows.read_numbers(column)
            for row in wrong:
                self.wrong[row] = (
                    f"column {column!r}: {self.cells[column][row]!r} is no number, and most of its "
                    "cells are; name it in `missing`, or the column in `categories`"
                )

    def examples(self, part: str | None) -> Iterator[Example | Problem]:
        """Yield the examples of the table."""
        kept = [index for index in range(len(self.rows.numbers)) if self._is_wanted(index)]
        if self.block.recording is not None:
            yield from self._recordings(part, kept)
            return
        for index in kept:
            origin = Origin(self.name, self.rows.numbers[index], self.rows.unit)
            if index in self.wrong:
                yield Problem(ProblemKind.BAD_CELL, origin, self.wrong[index])
                continue
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
        if left and (self.is_record or block.recording is not None or len(left) == 1):
            return left
        named = [name for name in left if name.lower() in _INPUTS]
        if not left:
            raise InvalidInputError(
                f"no column is left for the input; the table has {self._names()}"
            )
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
        raw = self.cells[name][index]
        # A struct of a Hugging Face data set whose bytes lie in a file of their own.
        cell = json_cell(_plain(raw.get("path") if isinstance(raw, dict) else raw))
        if isinstance(cell, str) and self.is_record:
            cell = cell.strip()
        return cell

    def _value(self, index: int) -> Value:
        encoded = stored_bytes(self.cells[self.inputs[0]][index], f"{self.name} {index}")
        if encoded is not None:
            return encoded
        cells = {name: self._cell(name, index) for name in self.inputs}
        if self.is_record:
            return [cells]
        texts = ["" if cell is None else str(cell) for cell in cells.values()]
        if self.is_path:
            return self._file(texts[0].strip()) if texts[0].strip() else None
        if self.is_text and len(texts) == 2:
            return {"text": texts[0], "text_pair": texts[1]}
        return texts[0] if self.is_text else texts[0].strip()

    def _file(self, name: str) -> Path:
        """Return the file of a cell; a name without its ending, an id, finds the only such file."""
        path = self.folder / name
        if path.is_file():
            return path
        if path.parent not in self.stems:
            named = (one for one in sorted(path.parent.glob("*")) if one.name[0] != ".")
            self.stems[path.parent] = defaultdict(list)
            for one in named:
                self.stems[path.parent][one.stem].append(one)
        found = self.stems[path.parent].get(path.name, [])
        return found[0] if len(found) == 1 else path

    def _target(self, index: int) -> dict[str, Any]:
        return {name: _plain(self.cells[name][index]) for name in self.labels}

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


def _default_form(modality: Modality) -> Literal["value", "path"]:
    return "value" if modality in _VALUES else "path"


def _plain(cell: Any) -> Any:
    """Return a cell of an array as Python's own type."""
    return cell.item() if isinstance(cell, np.generic) else cell
