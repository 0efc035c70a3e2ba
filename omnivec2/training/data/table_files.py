"""Tables that are trained on, such as CSV, Parquet and JSON lines, and what their cells mean."""

from __future__ import annotations

import codecs
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
from omnivec2.preprocess.formats.guards.archives import ZIP, open_zip
from omnivec2.preprocess.formats.guards.text_encoding import decode_text, looks_like_text
from omnivec2.preprocess.formats.tables.csv_dialect import csv_rows, find_delimiter
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_file import is_workbook
from omnivec2.preprocess.formats.tables.table_limits import make_frame
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.table_rows import Row, frame_of_rows
from omnivec2.spec import Limits
from omnivec2.training.data.annotations.series.ts_files import read_ts

_LIMITS = Limits(bytes=2**31, decoded_bytes=2**33, rows=20_000_000, columns=10_000)
"""Limits of a training table, which must fit in memory; a request's are for untrusted files."""


def read_table(
    path: Path,
    *,
    tabs: bool = False,
    names: Sequence[str] | None = None,
    encoding: str | None = None,
) -> Frame:
    """Read a table file; TSV is read without quoting, as data sets of texts are written.

    Args:
        path: The file: CSV, TSV, Parquet, an Excel workbook (XLSX) or labelled series (``.ts``);
            those of text may be gzipped.
        tabs: Whether a file of another name is TSV.
        names: The names of its columns, where it has no header line.
        encoding: The encoding of its text; UTF-8, or what a byte order mark says, unless given.

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
        if data.startswith(ZIP):
            return _read_workbook(data)
        data = _as_utf8(data, encoding)
        if name.endswith(".ts"):
            return read_ts(data.decode("utf-8-sig"))
        if name.endswith(".tsv") or (tabs and not name.endswith(".parquet")):
            return _read_tsv(data, names)
        if names is not None:
            return _read_headless_csv(data, names)
        return read_csv(data, _LIMITS, charset="utf-8")
    except (InputError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _as_utf8(data: bytes, encoding: str | None) -> bytes:
    """Return a text file in UTF-8.

    Nobody would see a note that an encoding was guessed, so files in another one must state it.

    Raises:
        InvalidInputError: It is not in UTF-8 and nothing states another encoding.
    """
    if encoding is not None or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return decode_text(data, encoding).encode()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if not looks_like_text(data):
            raise
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(
            f"line {line} is not UTF-8: save the file as UTF-8 (in Excel, CSV UTF-8), or state "
            "its encoding in the block; files of Western European Windows are `encoding: cp1252`"
        ) from error
    return data


def _read_workbook(data: bytes) -> Frame:
    """Read the first sheet of an Excel workbook that has cells."""
    from omnivec2.preprocess.formats.tables.workbooks.xlsx_reader import read_xlsx

    with open_zip(data, 2**33) as archive:
        if not is_workbook(archive.names):
            raise InvalidInputError("a ZIP file that is no Excel workbook; unpack it")
        return read_xlsx(archive, _LIMITS, TableOptions())


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

    A file that is one list of objects is read as well.

    Returns:
        The number of each line, or of each entry of the list, from 1, and its object.

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
    if text.lstrip().startswith("["):
        return _objects_of_list(path, text)
    rows = []
    for number, line_text in enumerate(text.split("\n"), 1):
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


def _objects_of_list(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{path}, line {error.lineno}: not valid JSON: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InvalidInputError(f"{path}, entry {number}: expected an object, {{...}}")
    if not rows:
        raise InvalidInputError(f"{path}: the list is empty")
    return list(enumerate(rows, 1))


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
