"""JSON values -> a frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.tables.frame import Frame, column_from_json
from omnivec2.preprocess.formats.tables.pandas_json import is_orient, read_orient, unwrap_table
from omnivec2.preprocess.formats.tables.table_limits import check_columns, check_rows, make_frame
from omnivec2.preprocess.formats.tables.values.column_names import plain_name
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_FORMS = (
    "columns {name: [values]}, a list of row objects (pandas' orient 'records'; 'split', "
    "'columns', 'index' and 'table' are read too) or a list of numbers"
)


def read_json(
    value: JsonValue,
    limits: Limits,
    *,
    text_numbers: bool,
    known: Collection[str] = (),
    absent_is_null: bool = False,
) -> Frame:
    """Read a table from JSON.

    Args:
        value: One of ``{"column": [...], ...}``, ``{"table": {...}}``, a list of row objects,
            one row object, a list of lists, a list of numbers (one column), or a data frame in
            any of pandas' orients.
        limits: The limits on rows and columns.
        text_numbers: Whether strings may spell numbers.
        known: The names of the expected columns, if they are known: others may hold anything.
        absent_is_null: Whether rows may lack fields, as those of JSON Lines do.

    Raises:
        InvalidInputError: the value has another form, columns differ in length, or values
            are nested.
        TooLargeError: there are too many rows or columns.
    """
    value = unwrap_table(value)
    if isinstance(value, dict) and is_orient(value):
        for inner in (value, value.get("data"), next(iter(value.values()))):
            check_rows(len(inner) if isinstance(inner, list) else 0, limits)
        value = read_orient(value, known)
    names, columns = _json_columns(value, limits, known, absent_is_null=absent_is_null)
    named = any(names)
    names = [name or f"column {index + 1}" for index, name in enumerate(names)]
    try:
        arrays = [column_from_json(c, name) for name, c in zip(names, columns, strict=True)]
    except InvalidInputError:
        # Columns that nobody reads may hold anything.
        kept = _without_nested(names, columns, known)
        arrays = [column_from_json(columns[i], names[i]) for i in kept]
        names = [names[i] for i in kept]
    return make_frame(names, arrays, named=named, text_numbers=text_numbers)


def _json_columns(
    value: JsonValue, limits: Limits, known: Collection[str], *, absent_is_null: bool
) -> tuple[list[str], list[Sequence[Any]]]:
    """Return names ("" where there are none) and columns of equal length."""
    if isinstance(value, dict) and value:
        lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        if not lists:
            return _rows_to_columns([value], limits)
        check_columns(len(lists), limits)
        _note_single_values(value, lists, known)
        return list(lists), _equal_length(lists, limits)
    if isinstance(value, list) and value:
        check_rows(len(value), limits)
        if all(isinstance(row, dict) for row in value):
            return _rows_to_columns(value, limits, absent_is_null=absent_is_null)
        if all(isinstance(row, list) for row in value):
            return _lists_to_columns(value, limits)
        if not any(isinstance(row, dict | list) for row in value):
            return [""], [value]
    got = json_type(value)
    if value in ({}, []):
        got = f"an empty {got.removeprefix('an ').removeprefix('a ')}"
    raise InvalidInputError(f"expected {_FORMS}, got {got}", field="inputs")


def _note_single_values(
    value: dict[str, Any], lists: dict[str, list[Any]], known: Collection[str]
) -> None:
    """Say which entries beside the columns are none; refuse those that are expected to be."""
    if len(lists) == len(value):
        return
    wanted = {plain_name(name) for name in known}
    for name in value.keys() - lists.keys():
        if plain_name(name) in wanted:
            raise InvalidInputError(
                f"column {name!r} is {json_type(value[name])}, others are lists; expected a "
                "list of values for every column",
                field=f"inputs.{name}",
            )
        note(NoteCode.IGNORED, f"{name!r} is no list of values and was not used", field=name)


def _without_nested(
    names: Sequence[str], columns: Sequence[Sequence[Any]], known: Collection[str]
) -> list[int]:
    """Return the positions of the columns that are read: unknown ones of objects are not."""
    kept = list(range(len(names)))
    nested = [i for i, cells in enumerate(columns) if any(type(c) in (dict, list) for c in cells)]
    if not known or not nested:
        return kept
    wanted = {plain_name(name) for name in known}
    for index in nested:
        if plain_name(names[index]) not in wanted:
            kept.remove(index)
            note(
                NoteCode.IGNORED, f"column {names[index]!r} holds lists or objects and was not used"
            )
    return kept


def _equal_length(lists: dict[str, list[Any]], limits: Limits) -> list[Sequence[Any]]:
    first, cells = next(iter(lists.items()))
    if not cells:
        raise InvalidInputError(f"column {first!r} is empty", field=f"inputs.{first}")
    check_rows(len(cells), limits)
    for name, column in lists.items():
        if len(column) != len(cells):
            raise InvalidInputError(
                f"column {name!r} has {len(column)} values, column {first!r} has {len(cells)}; "
                f"expected {_FORMS}",
                field=f"inputs.{name}",
            )
    return list(lists.values())


def _rows_to_columns(
    rows: Sequence[Any], limits: Limits, *, absent_is_null: bool = False
) -> tuple[list[str], list[Sequence[Any]]]:
    names = list(rows[0])
    if absent_is_null:
        names = list(dict.fromkeys(name for row in rows for name in row))
    check_columns(len(names), limits)
    if not names:
        raise InvalidInputError("row 1 has no fields", field="inputs[0]")
    absent = surplus = 0
    width = len(names)
    for number, row in enumerate(rows):
        lacking = next((name for name in names if name not in row), None)
        if lacking is None:
            surplus += len(row) > width
        elif absent_is_null:
            absent += 1
        else:
            raise InvalidInputError(
                f"row {number + 1} has no {lacking!r}; use null for a missing value",
                field=f"inputs[{number}].{lacking}",
            )
    if absent:
        note(NoteCode.FILLED, "rows that lack fields were read as if these were null", count=absent)
    if surplus:
        note(NoteCode.IGNORED, "fields that the first row lacks were not used", count=surplus)
    return names, [[row.get(name) for row in rows] for name in names]


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
