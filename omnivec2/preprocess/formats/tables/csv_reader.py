"""CSV -> a frame.

It uses the standard library, the only reader that reports on which line a row has too few
fields; faster readers silently fill such rows.
"""

from __future__ import annotations

import csv

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.text_encoding import decode_text
from omnivec2.preprocess.formats.tables.csv_dialect import (
    csv_rows,
    find_delimiter,
    take_excel_hint,
)
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_limits import check_columns
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.table_rows import Row, frame_of_rows
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_LINE_BREAKS = "; its line breaks may be lost: curl needs --data-binary, as -d takes them out"


def read_csv(
    data: bytes, limits: Limits, options: TableOptions | None = None, charset: str | None = None
) -> Frame:
    """Read CSV with commas, semicolons, tabs, bars or spaces, with or without a header line.

    Args:
        data: The file.
        limits: The limits on rows and columns.
        options: The statements of the caller on the file.
        charset: The encoding that its content type states.

    Raises:
        UnsupportedMediaTypeError: the stated encoding is not known.
        UndecodableError: the file is no text, or its quotes do not match.
        TooLargeError: there are too many rows or columns.
        InvalidInputError: rows differ in length, or there are none.
    """
    options = options or TableOptions()
    text, hint = take_excel_hint(decode_text(data, options.charset or charset))
    delimiter = options.delimiter or hint or find_delimiter(text)
    most_rows = limits.rows if limits.rows is not None else len(data)
    is_one_line = not any(mark in text.strip() for mark in "\r\n")
    rows: list[Row] = []
    blank = last_blank = 0
    try:
        for number, cells in csv_rows(text, delimiter):
            if not cells:
                blank += bool(rows)
                continue
            last_blank = blank
            if is_one_line and limits.columns is not None and len(cells) > limits.columns:
                raise InvalidInputError(
                    f"the table is one line of {len(cells):,} fields{_LINE_BREAKS}",
                    field="inputs",
                )
            check_columns(len(cells), limits)
            rows.append(Row(number, cells))
            # Besides the header, lines above it are no rows.
            if len(rows) > most_rows + 1:
                raise TooLargeError(f"table has more than {most_rows:,} rows", field="inputs")
    except csv.Error as error:
        raise UndecodableError(str(error), field="inputs") from error
    if last_blank and len(rows[0].cells) == 1:
        note(NoteCode.DROPPED, "blank lines between the rows were left out", count=last_blank)
    return frame_of_rows(
        rows,
        "CSV line",
        commas=delimiter != "," or '"' in text,
        semicolons=delimiter == ";",
        hint=_LINE_BREAKS if is_one_line else "",
    )
