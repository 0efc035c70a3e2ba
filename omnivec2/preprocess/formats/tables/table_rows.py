"""Rows of cells, as CSV files and spreadsheets hold them, into a frame.

People put more into such files than names and values: titles, lines of units, empty rows, row
numbers. What is left out is noted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_limits import make_frame
from omnivec2.preprocess.formats.tables.time_axis import is_time_text
from omnivec2.preprocess.formats.tables.values.number_columns import common_decimal
from omnivec2.preprocess.formats.tables.values.number_text import (
    MISSING_TEXTS,
    Decimal,
    can_be_thousands,
    is_number_text,
    is_unit,
)
from omnivec2.preprocess.notes import NoteCode, note

MOST_LINES_ABOVE = 30
"""The most lines above a table that are taken for its title."""

_LOOKED_AT = 50
_LONGEST_UNIT = 16
_RULE = re.compile(r"\s*:?-{3,}:?\s*")
_BOOLEANS = frozenset({"true", "false"})


class Row(NamedTuple):
    """One row: the number of its line or row in the file, and its cells."""

    number: int
    cells: list[Any]


def frame_of_rows(
    rows: list[Row], source: str, *, commas: bool = True, semicolons: bool = False, hint: str = ""
) -> Frame:
    """Build a frame from the rows of a file, with or without a row of names.

    Args:
        rows: The rows in order; missing cells are ``""`` or None.
        source: The word for a row in messages: ``"CSV line"``.
        commas: Whether cells may hold commas.
        semicolons: Whether semicolons separate fields, as where decimals follow a comma.
        hint: The likely cause of a table without rows, for its message.

    Raises:
        InvalidInputError: there are no rows, or they differ in length.
    """
    rows = _of_equal_length(rows, source)
    rows = _without_empty_rows(rows)
    rows = _without_title(rows)
    if not rows:
        raise InvalidInputError("table is empty: it has no row with values", field="inputs")
    named = any(not looks_like_data(cell) for cell in rows[0].cells)
    names = [_name(cell) for cell in rows[0].cells] if named else [""] * len(rows[0].cells)
    if named:
        names[0] = names[0].lstrip("#").lstrip()
        rows = _without_rule(rows[1:])
    if not rows:
        raise InvalidInputError(f"the table has a header line and no rows{hint}", field="inputs")
    units: dict[str, str] = {}
    if named and (found := _units(rows)):
        units = {name: unit for name, unit in zip(names, found, strict=True) if unit}
        rows = rows[1:]
    columns = [list(cells) for cells in zip(*(row.cells for row in rows), strict=True)]
    kept = [i for i, name in enumerate(names) if name or not named or not _is_empty(columns[i])]
    decimal = _decimal(columns, semicolons=semicolons) if commas else "."
    if semicolons and decimal == ".":
        _note_doubtful_points(names, columns)
    frame = make_frame([names[i] for i in kept], [_array(columns[i]) for i in kept], named=named)
    return replace(frame, units=units, decimal_guess=decimal)


def looks_like_data(cell: Any) -> bool:
    """Whether a cell of the first row is a value, rather than a column's name."""
    if not isinstance(cell, str):
        return True
    text = cell.strip()
    # An index column has an empty name; the first value of a number column may be missing.
    if text.lower() in MISSING_TEXTS or text.lower() in _BOOLEANS:
        return True
    # A name may well be a number of hours or metres.
    return is_number_text(text, units=False) or is_time_text(text)


def _of_equal_length(rows: list[Row], source: str) -> list[Row]:
    """Leave out the lines above the table, and mend a header that is one field shorter."""
    if not rows:
        return rows
    width = len(rows[-1].cells)
    start = len(rows) - 1
    while start and len(rows[start - 1].cells) == width:
        start -= 1
    if not start:
        return rows
    head, body = rows[start - 1], rows[start:]
    # A line above the names is none of names.
    is_header = start == 1 and not _are_names(body[0])
    if len(head.cells) == width - 1 and is_header:
        if all(_is_blank(row.cells[-1]) for row in body):
            return [Row(head.number, [*head.cells, ""]), *body]
        note(
            NoteCode.IGNORED,
            "the header line has one field less than the rows: their first field is read as the "
            "row's name",
        )
        return [Row(head.number, ["", *head.cells]), *body]
    if len(head.cells) == width + 1 and is_header and _is_blank(head.cells[-1]):
        return [Row(head.number, head.cells[:-1]), *body]
    above = rows[:start]
    is_above = start <= MOST_LINES_ABOVE and all(len(row.cells) < width for row in above)
    # One row below shorter ones is rather a row that is too long; so are many, below values.
    if is_above and len(body) > 1 and (_are_names(body[0]) or all(map(_are_names, above))):
        _note_lines_above(start)
        return body
    expected = len(rows[0].cells)
    wrong = next(row for row in rows if len(row.cells) != expected)
    raise InvalidInputError(
        f"{source} {wrong.number} has {len(wrong.cells)} fields; "
        f"expected {expected} as in the first line",
        field="inputs",
    )


def _without_empty_rows(rows: list[Row]) -> list[Row]:
    if rows and len(rows[0].cells) == 1:
        return rows
    kept = [row for row in rows if not _is_empty(row.cells)]
    if len(kept) < len(rows):
        note(
            NoteCode.DROPPED,
            "empty rows, in which every cell is blank, were left out",
            count=len(rows) - len(kept),
        )
    return kept


def _without_title(rows: list[Row]) -> list[Row]:
    """Leave out the title of a spreadsheet, a text alone in its row."""
    count = 0
    while count + 2 < len(rows) and len(rows[0].cells) > 1 and _is_title(rows[count]):
        count += 1
    if not count or _is_title(rows[count]):
        return rows
    names, first = rows[count], rows[count + 1]
    # Of two columns, one may well have no name: names above values must follow.
    is_clear = not any(map(_is_blank, names.cells)) and _are_names(names) and not _are_names(first)
    if len(names.cells) == 2 and not is_clear:
        return rows
    _note_lines_above(count)
    return rows[count:]


def _without_rule(rows: list[Row]) -> list[Row]:
    """Leave out the line of dashes that Markdown has below the names."""
    cells = [cell for cell in rows[0].cells if not _is_blank(cell)] if rows else []
    if not cells or not all(isinstance(cell, str) and _RULE.fullmatch(cell) for cell in cells):
        return rows
    note(NoteCode.DROPPED, "the line of dashes below the names of the columns was left out")
    return rows[1:]


def _is_title(row: Row) -> bool:
    filled = [cell for cell in row.cells if not _is_blank(cell)]
    return len(filled) == 1 and not looks_like_data(filled[0])


def _note_lines_above(count: int) -> None:
    note(NoteCode.IGNORED, "lines above the table's header were left out", count=count)


def _units(rows: list[Row]) -> list[str] | None:
    """Return the units if the first row below the names holds some: texts above numbers."""
    if len(rows) < 2:
        return None
    if not all(cell is None or isinstance(cell, str) for cell in rows[0].cells):
        return None
    texts = [_name(cell) for cell in rows[0].cells]
    units = ["" if text.lower() in MISSING_TEXTS else text.strip("[]()").strip() for text in texts]
    known = 0
    for column, (text, unit) in enumerate(zip(texts, units, strict=True)):
        if not unit:
            continue
        cells = [row.cells[column] for row in rows[1:_LOOKED_AT]]
        filled = [cell for cell in cells if not _is_blank(cell)]
        is_above_values = bool(filled) and all(map(looks_like_data, filled))
        is_bracketed = text[0] in "[(" and text[-1] in "])"
        if looks_like_data(text) or len(unit) > _LONGEST_UNIT:
            return None
        if not (is_above_values or is_bracketed):
            return None
        known += is_bracketed or is_unit(unit)
    if not known:
        return None
    shown = ", ".join(filter(None, units))
    note(
        NoteCode.IGNORED,
        f"the row below the names holds units and no values ({shown[:120]}); it was left out",
    )
    return units


def _decimal(columns: Sequence[list[Any]], *, semicolons: bool) -> Decimal:
    """Return the decimal mark of numbers that can be read in two ways."""
    commas = any("," in cell for cells in columns for cell in cells if isinstance(cell, str))
    if not commas:
        return "."
    return common_decimal(columns, otherwise="," if semicolons else ".")


def _note_doubtful_points(names: Sequence[str], columns: Sequence[list[Any]]) -> None:
    """Say of which columns points may be thousands separators, as beside decimal commas."""
    for name, cells in zip(names, columns, strict=True):
        if can_be_thousands(cells[0], ".") and all(
            _is_blank(cell) or can_be_thousands(cell, ".") for cell in cells
        ):
            note(
                NoteCode.GUESSED,
                f"column {name!r}: the points of its numbers were read as decimal points; if they "
                "separate thousands, state the parameter 'decimal': ','",
                field=name or None,
            )


def _are_names(row: Row) -> bool:
    return not any(map(looks_like_data, row.cells))


def _name(cell: Any) -> str:
    name = "" if cell is None else " ".join(str(cell).split())
    # Trading platforms write names as tags.
    return name[1:-1] if name[:1] == "<" and name[-1:] == ">" else name


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _is_empty(cells: Sequence[Any]) -> bool:
    # Most rows begin with a value.
    return _is_blank(cells[0]) and all(map(_is_blank, cells))


def _array(cells: Sequence[Any]) -> Array:
    """Return a column in one of the forms of a frame; a sheet's cells have types, CSV's none."""
    kinds = set(map(type, cells))
    if kinds == {str}:
        return np.array(cells, dtype=object)
    kinds = {type(cell) for cell in cells if not _is_blank(cell)}
    if kinds == {float}:
        return np.array([math.nan if _is_blank(cell) else cell for cell in cells], np.float64)
    if kinds == {datetime}:
        return np.array([None if _is_blank(cell) else cell for cell in cells], "datetime64[us]")
    column = np.empty(len(cells), dtype=object)
    column[:] = [cell.isoformat(" ") if isinstance(cell, datetime) else cell for cell in cells]
    return column
