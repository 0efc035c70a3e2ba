"""JSON values -> a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.tables.frame import Frame, column_from_json
from omnivec2.preprocess.formats.tables.table_limits import check_columns, check_rows, make_frame
from omnivec2.spec import Limits


def read_json(value: JsonValue, limits: Limits, *, text_numbers: bool) -> Frame:
    """Read a table from JSON.

    Args:
        value: One of ``{"column": [...], ...}``, ``{"table": {...}}``, a list of row objects,
            one row object, a list of lists, or a list of numbers (one column).
        limits: The limits on rows and columns.
        text_numbers: Whether strings may spell numbers.

    Raises:
        InvalidInputError: the value has another form, columns differ in length, or values
            are nested.
        TooLargeError: there are too many rows or columns.
    """
    if isinstance(value, dict) and len(value) == 1:
        inner = next(iter(value.values()))
        if next(iter(value)) in ("table", "data") and isinstance(inner, dict):
            value = inner
    names, columns = _json_columns(value, limits)
    named = any(names)
    names = [name or f"column {index + 1}" for index, name in enumerate(names)]
    arrays = [column_from_json(c, name) for name, c in zip(names, columns, strict=True)]
    return make_frame(names, arrays, named=named, text_numbers=text_numbers)


def _json_columns(value: JsonValue, limits: Limits) -> tuple[list[str], list[Sequence[Any]]]:
    """Return names ("" where there are none) and columns of equal length."""
    if isinstance(value, dict) and value:
        lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        if not lists:
            return _rows_to_columns([value], limits)
        check_columns(len(lists), limits)
        return list(lists), _equal_length(lists, limits)
    if isinstance(value, list) and value:
        check_rows(len(value), limits)
        if all(isinstance(row, dict) for row in value):
            return _rows_to_columns(value, limits)
        if all(isinstance(row, list) for row in value):
            return _lists_to_columns(value, limits)
        if not any(isinstance(row, dict | list) for row in value):
            return [""], [value]
    raise InvalidInputError(
        "expected columns {name: [values]}, a list of row objects or a list of numbers, "
        f"got {'an empty ' if value in ({}, []) else ''}{json_type(value)}",
        field="inputs",
    )


def _equal_length(lists: dict[str, list[Any]], limits: Limits) -> list[Sequence[Any]]:
    first, cells = next(iter(lists.items()))
    if not cells:
        raise InvalidInputError(f"column {first!r} is empty", field=f"inputs.{first}")
    check_rows(len(cells), limits)
    for name, column in lists.items():
        if len(column) != len(cells):
            raise InvalidInputError(
                f"column {name!r} has {len(column)} values, column {first!r} has {len(cells)}",
                field=f"inputs.{name}",
            )
    return list(lists.values())


def _rows_to_columns(rows: Sequence[Any], limits: Limits) -> tuple[list[str], list[Sequence[Any]]]:
    names = list(rows[0])
    check_columns(len(names), limits)
    if not names:
        raise InvalidInputError("row 1 has no fields", field="inputs[0]")
    for number, row in enumerate(rows):
        absent = next((name for name in names if name not in row), None)
        if absent is not None:
            raise InvalidInputError(
                f"row {number + 1} has no {absent!r}; use null for a missing value",
                field=f"inputs[{number}].{absent}",
            )
    return names, [[row[name] for row in rows] for name in names]


def _lists_to_columns(rows: Sequence[Any], limits: Limits) -> tuple[list[str], list[Sequence[Any]]]:
    width = len(rows[0])
    check_columns(width, limits)
    for number, row in enumerate(rows):
        if len(row) != width or not width:
            raise InvalidInputError(
                f"row {number + 1} has {len(row)} values; expected {width or 'at least 1'}",
                field=f"inputs[{number}]",
            )
    return [""] * width, list(zip(*rows, strict=True))
