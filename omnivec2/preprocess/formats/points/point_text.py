"""Points as text: XYZ, PTS, TXT and CSV, with or without names of the columns.

What separates the numbers, which mark is the decimal one and what the columns mean is concluded
from the first lines; then NumPy reads all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.points.number_format import EXPECTED, NumberFormat, format_of
from omnivec2.preprocess.formats.points.point_columns import Axes, find_axes
from omnivec2.preprocess.formats.points.point_options import PointOptions
from omnivec2.preprocess.formats.points.unnamed_columns import guess_axes
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated

_SAMPLE_LINES = 64
_COMMENT = re.compile(r"\s*(#|//|%|!)")


def read_point_text(data: bytes) -> Array:
    """Read one point per line: float64 (points, 3); missing coordinates are NaN.

    Raises:
        UndecodableError: A line has too few numbers, or others than numbers.
        InvalidInputError: There are no points, or which columns are x, y and z is not clear.
    """
    table = _read_lines(data)
    _refuse_commas_for_both(table.names, table.rows, table.form)
    names = table.usable_names
    axes = None if names is None or stated(PointOptions).columns else find_axes(names)
    if axes is None:
        numbers = [[table.form.number(cell) for cell in row] for row in table.rows]
        axes = guess_axes(numbers, names)
    return axes.scaled(_numbers(table.lines, table.form, axes))


def read_text_column(data: bytes, choose: Callable[[list[str]], int]) -> list[str]:
    """Read one cell of every point, such as its label, as text.

    Args:
        data: The file.
        choose: A callback that gets the names of the columns, empty ones if they have none, and
            returns the number of one of them; negative numbers count from the last.

    Raises:
        UndecodableError: A line has fewer cells.
        InvalidInputError: There are no points.
    """
    table = _read_lines(data)
    names = table.usable_names or [""] * len(table.rows[0])
    column = choose([name.strip() for name in names])
    cells = []
    for index, line in enumerate(table.lines):
        row = table.form.cells(line)
        if not -len(row) <= column < len(row):
            shown = f"{len(row)} cells, got {line[:40]!r} as point {index + 1:,}"
            raise UndecodableError(f"column {column} is missing: {shown}", field="inputs")
        cells.append(row[column])
    return cells


@dataclass(frozen=True)
class _Table:
    """The lines of points, how they are written, the cells of the first ones, and their names."""

    lines: list[str]
    form: NumberFormat
    rows: list[list[str]]
    names: list[str] | None

    @property
    def usable_names(self) -> list[str] | None:
        """A name for every column; None if there are none, or if they are numbers of columns."""
        if self.names is None or not any(name.strip("0123456789") for name in self.names):
            return None
        return _aligned(self.names, len(self.rows[0]))


def _read_lines(data: bytes) -> _Table:
    comments, lines = _content(_decode(data))
    if lines and _is_count(lines[0]):
        lines = _after_count(lines)
    if not lines:
        raise InvalidInputError("a point cloud needs at least 1 point", field="inputs")
    form = format_of(lines[:_SAMPLE_LINES])
    rows = [form.cells(line) for line in lines[:_SAMPLE_LINES]]
    names = _names(rows, form)
    if names is not None:
        lines, rows = lines[1:], rows[1:]
        if not rows:
            raise InvalidInputError("a point cloud needs at least 1 point", field="inputs")
    else:
        names = _names_in_comment(comments, form, len(rows[0]))
    return _Table(lines, form, rows, names)


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and len(data) % 2 == 0 and len(data) > 2:
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data[:4096]:
            raise UndecodableError(EXPECTED) from None
        return data.decode("cp1252", errors="replace")


def _content(text: str) -> tuple[list[str], list[str]]:
    """Return the comments before the first line of content, and the lines of content."""
    lines = text.splitlines()
    comments: list[str] = []
    for line in lines:
        if line.strip() and not _COMMENT.match(line):
            break
        comments.append(line)
    if not any(mark in text for mark in ("#", "//", "%", "!")):
        return comments, [line for line in lines if line.strip()]
    kept = (re.split(r"#(?![QqIi])|//", line, maxsplit=1)[0] for line in lines[len(comments) :])
    return comments, [line for line in kept if line.strip() and not _COMMENT.match(line)]


def _is_count(line: str) -> bool:
    return line.strip().isdecimal()


def _after_count(lines: list[str]) -> list[str]:
    """Drop a count, as PTS files have, and the comment that XYZ files of molecules have."""
    declared, lines = int(lines[0].strip()[:18]), lines[1:]
    if lines and _is_count(lines[0]):
        raise UndecodableError(
            "unsupported: a PTX file; convert it to PLY or XYZ, e.g. with CloudCompare",
            field="inputs",
        )
    if len(lines) == declared + 1:
        lines = lines[1:]
    if len(lines) != declared:
        text = f"the file declares {declared:,} points and has {len(lines):,} lines of them"
        note(NoteCode.REPAIRED, text)
    return lines


def _names(rows: list[list[str]], form: NumberFormat) -> list[str] | None:
    """Return the first row if it holds names of columns."""
    first, rest = rows[0], rows[1:]
    words = [form.number(cell) is None for cell in first]
    if not any(words):
        return first if _are_numbers_of_columns(first, rest) else None
    if not rest:
        return first if len(first) >= 3 and all(words[:3]) else None
    width = len(rest[0])
    values = [form.number(cell) is not None for cell in rest[0]]
    offset = 1 if width == len(first) + 1 else 0
    pairs = zip(words, values[offset:], strict=False)
    return first if any(word and value for word, value in pairs) or width != len(first) else None


def _aligned(names: list[str], count: int) -> list[str]:
    """Return a name for every column; R and pandas write row numbers without one."""
    if len(names) == 1 and count > 1:
        names = next((n for n in (names[0].split(","), names[0].split()) if len(n) == count), names)
    if len(names) == count - 1:
        return ["", *names]
    return [*names, *[""] * (count - len(names))]


def _are_numbers_of_columns(first: list[str], rest: list[list[str]]) -> bool:
    """Whether a row is 0, 1, 2, ..., as pandas names columns without names."""
    numbers = first[1:] if first and not first[0] else first
    if numbers != [str(index) for index in range(len(numbers))] or len(numbers) < 3:
        return False
    named = len(numbers) < len(first) or any(not cell.isdecimal() for row in rest for cell in row)
    if named:
        note(NoteCode.GUESSED, "the first line 0, 1, 2, ... was taken for the names of columns")
    return named


def _names_in_comment(comments: list[str], form: NumberFormat, count: int) -> list[str] | None:
    """Return the names in the last comment that has one for every column, as savetxt writes."""
    for line in reversed(comments):
        text = re.sub(r"^[\s#/%!]+", "", line)
        for separator in (form.separator, None, ","):
            names = [name.strip() for name in text.split(separator)]
            if len(names) == count and {"x", "y", "z"} <= {name.lower()[:1] for name in names}:
                return names
    return None


def _refuse_commas_for_both(
    names: list[str] | None, rows: list[list[str]], form: NumberFormat
) -> None:
    """Refuse commas that are both decimal marks and separators: 1,5,2,5,3,5 is three numbers."""
    if form.separator != "," or len(rows[0]) % 2 or len(rows[0]) < 6:
        return
    whole = all(re.fullmatch(r"[+-]?\d+", cell) for row in rows for cell in row)
    fractions = [cell for row in rows for cell in row[1::2]]
    zeros = any(len(cell) > 1 and cell.startswith("0") for cell in fractions)
    twice = names is not None and 2 * len(names) == len(rows[0])
    if whole and (twice or (names is None and zeros)):
        raise InvalidInputError(
            "commas seem to be decimal marks and to separate the columns; use semicolons "
            "between the columns, or decimal points",
            field="inputs",
        )


def _numbers(lines: list[str], form: NumberFormat, axes: Axes) -> Array:
    """Read three columns of all lines; slower, and cell by cell, if one is missing or damaged."""
    plain = lines
    if form.decimal_comma or form.thousands:
        plain = form.plain("\n".join(lines)).split("\n")
    if not any('"' in line for line in lines[:_SAMPLE_LINES]):
        try:
            return np.loadtxt(
                plain,
                dtype=np.float64,
                comments=None,
                delimiter=form.separator,
                usecols=axes.columns,
                ndmin=2,
            )
        except ValueError:
            pass  # a missing number or damage: the next way tells which
    found = np.empty((len(lines), 3))
    for index, line in enumerate(lines):
        cells = form.cells(line)
        for axis, column in enumerate(axes.columns):
            value = form.number(cells[column]) if column < len(cells) else None
            if value is None:
                shown = f", got {line[:40]!r} as point {index + 1:,}"
                raise UndecodableError(EXPECTED + shown, field="inputs")
            found[index, axis] = value
    return found
