"""Tables that are trained on: CSV, TSV, Parquet and JSON lines, and the meaning of their cells."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.preprocess.formats.guards.text_encoding import decode_text
from omnivec2.preprocess.formats.tables.csv_dialect import csv_rows, find_delimiter
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_limits import make_frame
from omnivec2.preprocess.formats.tables.table_rows import Row, frame_of_rows
from omnivec2.spec import Limits

_LIMITS = Limits(bytes=2**31, decoded_bytes=2**33, rows=20_000_000, columns=10_000)
"""Limits of a training table, which must fit in memory; a request's are for untrusted files."""


def read_table(path: Path, *, tabs: bool = False, names: Sequence[str] | None = None) -> Frame:
    """Read a table file; TSV is read without quoting, as data sets of texts are written.

    Args:
        path: The file: CSV, TSV or Parquet, of which the first two may be gzipped.
        tabs: Whether a file of another name is TSV.
        names: The names of its columns, where it has no header line.

    Raises:
        InvalidInputError: The file cannot be read; the message names file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    name = path.name.lower()
    if name.endswith(".gz"):
        name = name.removesuffix(".gz")
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidInputError(f"{path}: not a whole gzip file: {error}") from error
    if not data.strip():
        raise InvalidInputError(f"{path}: the file is empty")
    try:
        if data[:4] == b"PAR1":
            from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet

            return read_parquet(data, _LIMITS)
        if name.endswith(".tsv") or (tabs and not name.endswith(".parquet")):
            return _read_tsv(data, names)
        if names is not None:
            return _read_headless_csv(data, names)
        # Nobody would see a note that the encoding was guessed.
        return read_csv(data, _LIMITS, charset="utf-8")
    except (InputError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _read_headless_csv(data: bytes, names: Sequence[str]) -> Frame:
    """Read CSV whose first line is a row of values."""
    text = decode_text(data, "utf-8")
    delimiter = find_delimiter(text)
    try:
        rows = [Row(number, cells) for number, cells in csv_rows(text, delimiter) if cells]
    except csv.Error as error:
        raise InvalidInputError(str(error)) from error
    _require_width(len(rows[0].cells), names)
    return frame_of_rows(
        [Row(0, list(names)), *rows],
        "CSV line",
        commas=delimiter != "," or '"' in text,
        semicolons=delimiter == ";",
    )


def _require_width(width: int, names: Sequence[str]) -> None:
    if width != len(names):
        raise InvalidInputError(
            f"columns has {len(names)} names, and the first line has {width} fields"
        )


def _read_tsv(data: bytes, given: Sequence[str] | None) -> Frame:
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
    if given is not None:
        _require_width(len(cells[0]), given)
        names = list(given)
    else:
        names = cells.pop(0) if named else [""] * len(cells[0])
    columns = [np.array(column, dtype=object) for column in zip(*cells, strict=True)]
    return make_frame(names, columns, named=named or given is not None)


def read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Read one JSON object per line; the file may be gzipped, and blank lines are left out.

    Returns:
        The number of each line, from 1, and its object.

    Raises:
        InvalidInputError: A line is no JSON object; the message names file and line.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(f"{path}, line {line}: not UTF-8: {error.reason}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInputError(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line_text in enumerate(text.splitlines(), 1):
        if not line_text.strip():
            continue
        try:
            row = json.loads(line_text)
        except json.JSONDecodeError as error:
            raise InvalidInputError(f"{path}, line {number}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise InvalidInputError(f"{path}, line {number}: expected an object, {{...}}")
        rows.append((number, row))
    if not rows:
        raise InvalidInputError(f"{path}: the file is empty")
    return rows


def is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


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
