"""CSV -> a frame.

It uses the standard library, the only reader that reports on which line a row has too few
fields; faster readers silently fill such rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.json_text import decode_utf8
from omnivec2.preprocess.formats.tables.frame import MISSING_TEXTS, Frame
from omnivec2.preprocess.formats.tables.table_limits import check_columns, make_frame
from omnivec2.preprocess.formats.tables.time_axis import is_time_text
from omnivec2.spec import Limits

MAX_LINE_CHARACTERS = 2**20
"""A longer line is refused: splitting it into fields would take too much memory."""

_DELIMITERS = (",", ";", "\t")


def read_csv(data: bytes, limits: Limits) -> Frame:
    """Read CSV with commas, semicolons or tabs, with or without a header line.

    Raises:
        UndecodableError: the file is not UTF-8 text, or its quotes do not match.
        TooLargeError: there are too many rows or columns.
        InvalidInputError: rows differ in length, or two columns have the same name.
    """
    text = decode_utf8(data)
    head = text[:MAX_LINE_CHARACTERS].lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    lines = _guarded_lines(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    max_rows = limits.rows if limits.rows is not None else len(data)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if not rows:
                check_columns(len(row), limits)
            elif len(row) != len(rows[0]):
                raise InvalidInputError(
                    f"CSV line {reader.line_num} has {len(row)} fields; "
                    f"expected {len(rows[0])} as in the first line",
                    field="inputs",
                )
            rows.append(row)
            if len(rows) > max_rows + 1:
                raise TooLargeError(f"table has more than {max_rows:,} rows", field="inputs")
    except csv.Error as error:
        raise UndecodableError(f"CSV line {reader.line_num}: {error}", field="inputs") from error
    if not rows:
        raise InvalidInputError("table is empty", field="inputs")
    named = any(not _looks_like_data(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows.pop(0)] if named else [""] * len(rows[0])
    if not rows:
        raise InvalidInputError("CSV has a header line and no rows", field="inputs")
    columns = [np.array(column, dtype=object) for column in zip(*rows, strict=True)]
    return make_frame(names, columns, named=named)


def _guarded_lines(stream: io.StringIO) -> Iterator[str]:
    while line := stream.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise TooLargeError(f"a CSV line is longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line


def _looks_like_data(cell: str) -> bool:
    """Whether a cell of the first line is a value, rather than a column's name."""
    text = cell.strip()
    if text.lower() in MISSING_TEXTS:
        # An index column has an empty name; the first value of a number column may be missing.
        return True
    try:
        float(text)
    except ValueError:
        return is_time_text(text)
    return True
