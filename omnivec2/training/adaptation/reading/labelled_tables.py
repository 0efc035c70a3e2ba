"""A CSV, TSV or Parquet table: a row per input, or per moment of a recording."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_limits import make_frame
from omnivec2.spec import Limits
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.adaptation.reading.labelled_rows import Label, Row, quantity

_LIMITS = Limits(bytes=2**31, decoded_bytes=2**33, rows=20_000_000, columns=10_000)
"""Limits of a training table, which must fit in memory; a request's are for untrusted files."""


def read_table(path: Path) -> Frame:
    """Read a table file; TSV is read without quoting, as data sets of texts are written.

    Raises:
        InvalidInputError: The file cannot be read; the message names file and line.
    """
    data = path.read_bytes()
    name = path.name.lower()
    if name.endswith(".gz"):
        name = name.removesuffix(".gz")
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidInputError(f"{path}: not a whole gzip file: {error}") from error
    try:
        if data[:4] == b"PAR1":
            from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet

            return read_parquet(data, _LIMITS)
        if name.endswith(".tsv"):
            return _read_tsv(data)
        # Nobody would see a note that the encoding was guessed.
        return read_csv(data, _LIMITS, charset="utf-8")
    except (InputError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _read_tsv(data: bytes) -> Frame:
    """Read tab-separated cells; no cell of a header is empty or a number."""
    lines = io.StringIO(data.decode("utf-8-sig"), newline="\n")
    cells = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    cells = [row for row in cells if row]
    if not cells:
        raise InvalidInputError("table is empty")
    for number, row in enumerate(cells, 1):
        if len(row) != len(cells[0]):
            raise InvalidInputError(
                f"line {number} has {len(row)} fields; expected {len(cells[0])} as in the first"
            )
    named = not any(not cell.strip() or is_number(cell) for cell in cells[0])
    names = cells.pop(0) if named else [""] * len(cells[0])
    columns = [np.array(column, dtype=object) for column in zip(*cells, strict=True)]
    return make_frame(names, columns, named=named)


def is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def read_rows(part: DataPart, rules: AdaptationRules, *, regression: bool) -> list[Row]:
    """Return the rows of one or several tables of the same columns.

    Args:
        part: The tables, and the names of their columns.
        rules: The modality's rules.
        regression: Whether labels are quantities.

    Raises:
        InvalidInputError: A column is missing, or a cell is not usable; the message names file
            and row.
    """
    return [
        row
        for path in part.path
        for row in _rows_of(Path(path), part, rules, regression=regression)
    ]


def _rows_of(path: Path, part: DataPart, rules: AdaptationRules, *, regression: bool) -> list[Row]:
    frame = read_table(path)
    label = part.label or "label"
    wanted = [label.strip() for label in label.split(",")] if regression else [label]
    _require(path, frame, [*wanted, *part.input, *part.only])
    chosen = [i for i in range(frame.rows) if _is_chosen(frame, part, i)]
    if part.group is not None:
        return _recordings(path, frame, part, wanted, chosen, regression=regression)
    left = [name for name in frame.columns if name not in {*wanted, *part.only}]
    inputs = list(part.input) or rules.input_columns(path, left)
    rows = []
    for index in chosen:
        where = f"{path.name}, row {index + 1}"
        cells = [frame.columns[name][index] for name in inputs]
        value = rules.row_value(inputs, cells, path.parent)
        rows.append(Row(where, value, _label(frame, wanted, index, where, regression)))
    return rows


def _require(path: Path, frame: Frame, names: Sequence[str]) -> None:
    try:
        frame.require(names)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _is_chosen(frame: Frame, part: DataPart, index: int) -> bool:
    return all(as_name(frame.columns[n][index]) in values for n, values in part.only.items())


def _label(frame: Frame, columns: Sequence[str], index: int, where: str, regression: bool) -> Label:
    cells = [frame.columns[name][index] for name in columns]
    if regression:
        return tuple(quantity(cell, where) for cell in cells)
    name = as_name(cells[0])
    if not name:
        raise InvalidInputError(f"{where}: the label (column {columns[0]!r}) is empty")
    return name


def as_name(cell: Any) -> str:
    """Return a cell as the name of a class: ``1.0`` and ``1`` are the same."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def json_cell(cell: Any) -> JsonValue:
    """Return a cell as a client would send it in JSON; missing ones are null."""
    if cell is None or isinstance(cell, bool | str):
        return cell
    if isinstance(cell, int | float):
        return None if np.isnan(cell) else cell
    return str(cell)


def _recordings(
    path: Path,
    frame: Frame,
    part: DataPart,
    label: Sequence[str],
    chosen: Sequence[int],
    *,
    regression: bool,
) -> list[Row]:
    """Join the rows with the same value in the grouping column, in their order, to recordings."""
    group = str(part.group)
    _require(path, frame, [group])
    members: dict[str, list[int]] = {}
    for index in chosen:
        members.setdefault(as_name(frame.columns[group][index]), []).append(index)
    kept = list(part.input) or [
        name for name in frame.columns if name not in {*label, group, *part.only}
    ]
    columns = {
        column: frame.numbers(column) if frame.is_numeric(column) else frame.columns[column]
        for column in kept
    }
    rows = []
    for name, indices in members.items():
        where = f"{path.name}, {group} {name}"
        labels = {_label(frame, label, index, where, regression) for index in indices}
        if len(labels) > 1:
            raise InvalidInputError(f"{where}: one recording has {len(labels)} different labels")
        value: JsonValue = {
            column: [json_cell(cells[index]) for index in indices]
            for column, cells in columns.items()
        }
        rows.append(Row(where, value, labels.pop()))
    return rows
