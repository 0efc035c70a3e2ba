"""How the fields of a CSV file are separated."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.tables.values.number_text import is_number_text

MAX_LINE_CHARACTERS = 2**20
"""A longer line is refused: splitting it into fields would take too much memory."""

SPACES = " "
"""The delimiter that stands for runs of spaces, as numpy writes them."""

_DELIMITERS = (",", ";", "\t", "|")
_EXCEL_HINT = re.compile(r"\s*\"?sep=(.)\"?[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
_SAMPLE_CHARACTERS, _SAMPLE_ROWS = 2**16, 40


def take_excel_hint(text: str) -> tuple[str, str | None]:
    """Return the text without Excel's first line ``sep=;``, and the delimiter that it states."""
    if (hint := _EXCEL_HINT.match(text[:40])) is None:
        return text, None
    return text[hint.end() :], hint.group(1)


def find_delimiter(text: str) -> str:
    """Return the delimiter with which most of the first rows have equally many fields.

    Of several, it is the one that leaves the most numbers, and then the most fields.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    best, best_score = ",", (0.0, 0.0, 1)
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        rows = _first_rows(sample, delimiter, whole=len(sample) == len(text))
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
        if width > 1:
            cells = [cell for row in rows[:10] for cell in row]
            numbers = sum(is_number_text(cell) for cell in cells) / len(cells)
            score = (count / len(rows), numbers, width)
            if score > best_score:
                best, best_score = delimiter, score
    return SPACES if best_score[2] == 1 and _has_space_columns(sample) else best


def csv_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line that ends a row, and the row's fields; blank lines have none.

    Raises:
        TooLargeError: a line is too long.
        csv.Error: quotes do not match; the message begins with the line's number.
    """
    lines = _guarded_lines(text)
    if delimiter == SPACES:
        yield from enumerate((line.split() for line in lines), 1)
        return
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise csv.Error(f"CSV line {reader.line_num}: {error}") from error


def _first_rows(sample: str, delimiter: str, *, whole: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(sample.splitlines(keepends=True), delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                break
    except csv.Error:
        return []
    # The last row of a cut sample may be half a row.
    return rows if whole or len(rows) <= 1 else rows[:-1]


def _has_space_columns(sample: str) -> bool:
    """Whether lines are equally many numbers with spaces between, perhaps below names."""
    rows = [row for line in sample.splitlines()[:_SAMPLE_ROWS] if (row := line.split())]
    width = len(rows[-1]) if rows else 0
    return (
        width > 1
        and all(len(row) == width for row in rows)
        and all(_is_float(cell) for row in rows[1:] for cell in row)
        and (len(rows) > 1 or all(map(_is_float, rows[0])))
    )


def _is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _guarded_lines(text: str) -> Iterator[str]:
    stream = io.StringIO(text, newline="")
    while line := stream.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise TooLargeError(f"a CSV line is longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line
