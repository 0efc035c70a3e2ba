"""The JSON forms of data frames -> columns: pandas' orients, and the envelopes of other servers.

``records`` and lists of columns are the plain forms of :mod:`json_reader`; the others are turned
into them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.tables.time_axis import is_time_text
from omnivec2.preprocess.formats.tables.values.column_names import plain_name
from omnivec2.preprocess.notes import NoteCode, note

TIME_NAME = "time"
"""The name of a frame's index of times, which has none in JSON."""

_ENVELOPES = (
    "table",
    "data",
    "instances",
    "dataframe_split",
    "dataframe_records",
    "input_data",
    "records",
    "rows",
)
_SPLIT = frozenset({"columns", "index", "data", "index_names", "column_names"})
_HEADERS = frozenset({"headers", "data", "metadata", "value"})
_FIRST_EPOCH = 100_000_000
"""Row labels from here on are times (1973 in seconds), not numbers of rows."""

Columns = tuple[list[str], list[Sequence[Any]]]


def unwrap_table(value: JsonValue) -> JsonValue:
    """Return the table within an envelope of other servers and clients, such as ``instances``."""
    while isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name not in _ENVELOPES:
            break
        rows = isinstance(inner, list) and any(isinstance(row, dict | list) for row in inner)
        if not (rows or isinstance(inner, dict)):
            break
        value = inner
    return value


def is_orient(value: JsonValue) -> bool:
    """Whether a value is a data frame in one of pandas' forms of an object."""
    if not isinstance(value, dict) or not value:
        return False
    return _is_split(value) or _is_table(value) or _is_polars(value) or _is_nested(value)


def read_orient(value: dict[str, Any], known: Collection[str]) -> JsonValue:
    """Turn pandas' ``split``, ``table``, ``columns`` or ``index`` into named columns or rows.

    Args:
        value: A value of which :func:`is_orient` is true.
        known: The names of columns that are expected, if any.

    Raises:
        InvalidInputError: the parts do not fit each other.
    """
    if _is_split(value):
        return _from_split(value)
    if _is_table(value):
        return _from_table(value)
    if _is_polars(value):
        return {str(column["name"]): column["values"] for column in value["columns"]}
    return _from_nested(value, known)


def _is_split(value: Mapping[str, Any]) -> bool:
    names = value.get("columns", value.get("headers"))
    is_named = isinstance(names, list) and isinstance(value.get("data"), list)
    return is_named and (value.keys() <= _SPLIT or value.keys() <= _HEADERS)


def _is_table(value: Mapping[str, Any]) -> bool:
    schema = value.get("schema")
    return value.keys() == {"schema", "data"} and isinstance(schema, dict) and "fields" in schema


def _is_polars(value: Mapping[str, Any]) -> bool:
    columns = value.get("columns")
    return (
        len(value) == 1
        and isinstance(columns, list)
        and all(isinstance(c, dict) and {"name", "values"} <= c.keys() for c in columns)
    )


def _is_nested(value: Mapping[str, Any]) -> bool:
    return all(isinstance(inner, dict) for inner in value.values())


def _from_split(value: dict[str, Any]) -> JsonValue:
    names = [str(name) for name in value.get("columns") or value["headers"]]
    rows: list[Any] = value["data"]
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else json_type(row)
            raise InvalidInputError(
                f"orient 'split': row {number + 1} is {found}; expected a list of "
                f"{len(names)} values, one per name in 'columns'",
                field=f"inputs.data[{number}]",
            )
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"two columns are named {name!r}", field="inputs.columns")
    columns = [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in names]
    table = dict(zip(names, columns, strict=True))
    labels = value.get("index")
    if labels is not None and (not isinstance(labels, list) or len(labels) != len(rows)):
        raise InvalidInputError(
            f"orient 'split': expected an 'index' of {len(rows)} labels, one per row",
            field="inputs.index",
        )
    return _with_labels(table, labels or [])


def _from_table(value: dict[str, Any]) -> JsonValue:
    schema, rows = value["schema"], value["data"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInputError("orient 'table': expected a list of rows", field="inputs.data")
    keys = schema.get("primaryKey", [])
    keys = keys if isinstance(keys, list) else [keys]
    fields = [field for field in schema["fields"] if isinstance(field, dict)]
    times = {field.get("name") for field in fields if field.get("type") == "datetime"}
    dropped = {key for key in keys if key not in times}
    return [{name: cell for name, cell in row.items() if name not in dropped} for row in rows]


def _from_nested(value: dict[str, Any], known: Collection[str]) -> JsonValue:
    inner_keys = list(next(iter(value.values())))
    if _is_by_row(list(value), inner_keys, known):
        rows: list[JsonValue] = list(value.values())
        labels = _labels(list(value))
        if not labels or TIME_NAME in inner_keys:
            return rows
        return [{TIME_NAME: time, **row} for time, row in zip(labels, value.values(), strict=True)]
    table: dict[str, list[Any]] = {}
    for name, cells in value.items():
        if cells.keys() != set(inner_keys):
            raise InvalidInputError(
                f"orient 'columns': column {name!r} has other rows than the first column",
                field=f"inputs.{name}",
            )
        table[name] = [cells[key] for key in inner_keys]
    return _with_labels(table, inner_keys)


def _is_by_row(outer: Sequence[str], inner: Sequence[str], known: Collection[str]) -> bool:
    """Whether objects within an object are rows (orient 'index') rather than columns."""
    if known:
        names = {plain_name(name) for name in known}
        found = [sum(plain_name(key) in names for key in keys) for keys in (outer, inner)]
        if found[0] != found[1]:
            return found[1] > found[0]
    return all(map(_is_label, outer)) and not all(map(_is_label, inner))


def _is_label(key: str) -> bool:
    return key.lstrip("-").isdecimal() or is_time_text(key)


def _with_labels(table: dict[str, list[Any]], labels: Sequence[Any]) -> dict[str, Any]:
    times = _labels(labels)
    return {TIME_NAME: times, **table} if times and TIME_NAME not in table else table


def _labels(labels: Sequence[Any]) -> list[Any]:
    """Return a frame's index if it is one of times; others say nothing about the rows' values."""
    if not labels:
        return []
    numbers = [int(x) if _is_integer(x) else None for x in labels]
    if all(number is not None for number in numbers):
        is_epoch = all(abs(number) >= _FIRST_EPOCH for number in numbers if number is not None)
        return list(numbers) if is_epoch else []
    if all(isinstance(x, str) for x in (labels[0], labels[-1])) and (
        is_time_text(labels[0]) and is_time_text(labels[-1])
    ):
        return list(labels)
    note(NoteCode.IGNORED, "the labels of the rows (the frame's index) were not used")
    return []


def _is_integer(label: Any) -> bool:
    if isinstance(label, str):
        digits = label.lstrip("-")
        return digits.isdecimal() and len(digits) < 20
    return isinstance(label, int) and not isinstance(label, bool)
