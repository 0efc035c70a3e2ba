"""Points in arrays and in JSON: rows, columns, channels first, records with named fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.points.point_columns import find_axes
from omnivec2.preprocess.formats.points.point_options import PointOptions
from omnivec2.preprocess.formats.points.unnamed_columns import guess_axes
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated

EXPECTED = 'expected a list of points [x, y, z] or {"x": …, "y": …, "z": …}, each of three numbers'
_MOST_VALUES = 16
"""The values of a point, at most, in an array whose axes have no names."""

_SAMPLE_ROWS = 64
_VECTORS = ("xyz", "points", "position", "positions", "pos", "coords", "coordinates", "location")


def points_of_array(array: Array) -> Array:
    """Return the points of an array: float64 (points, 3).

    An array is (points, 3 or more), (3 or more, points) as PyTorch has it, or has named fields.
    Axes of size one before these are dropped.

    Raises:
        InvalidInputError: The shape is another, or may be either of the first two.
    """
    if array.dtype.names:
        return _points_of_fields(array)
    shape = array.shape
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise InvalidInputError(
            f"expected an array of shape (points, 3), got {shape}; reshape one cloud to two axes",
            field="inputs",
        )
    rows, columns = array.shape
    if 3 <= rows <= _MOST_VALUES < columns:
        note(NoteCode.GUESSED, f"an array of shape {shape} was read as {columns:,} points")
        array = array.T
    elif rows == 3 < columns:
        raise InvalidInputError(
            f"an array of shape {shape} may be 3 or {columns} points; send the shape (points, 3), "
            "or transpose it",
            field="inputs",
        )
    elif columns < 3 or columns > 4096:
        raise InvalidInputError(
            f"expected an array of shape (points, 3), got {shape}", field="inputs"
        )
    return _coordinates(array)


def points_of_json(value: JsonValue) -> Array:
    """Return the points of a JSON value; null is a missing coordinate, NaN here.

    The value is a list of points, as lists or as objects with named values; or an object of
    columns (``{"x": [...], ...}``), of ``points``, or of pandas' ``columns`` and ``data``.

    Raises:
        InvalidInputError: It is none of these.
    """
    if isinstance(value, dict):
        return _points_of_object(value)
    if not isinstance(value, list) or not value:
        raise InvalidInputError(EXPECTED, field="inputs")
    if isinstance(value[0], dict):
        return _points_of_records(value)
    return points_of_array(_numbers(value))


def is_one_cloud(first: JsonValue) -> bool:
    """Whether a list that begins with this value is a list of points, not one of clouds."""
    if isinstance(first, dict):
        scalars = [item for item in first.values() if not isinstance(item, list | dict)]
        return len(scalars) >= 3
    if isinstance(first, list):
        return bool(first) and not isinstance(first[0], list | dict)
    return isinstance(first, int | float)


def _points_of_object(value: Mapping[str, JsonValue]) -> Array:
    if set(value) == {"points"}:
        return points_of_json(value["points"])
    data, names = value.get("data"), value.get("columns")
    if isinstance(data, list) and isinstance(names, list) and set(value) <= {*_SPLIT_KEYS}:
        return _named(_numbers(data), [str(name) for name in names])
    columns = {
        name: list(items.values()) if isinstance(items, dict) else items
        for name, items in value.items()
    }
    lists = {name: items for name, items in columns.items() if isinstance(items, list)}
    axes = find_axes(list(lists))
    if axes is None or len(lists) < len(columns):
        raise InvalidInputError(
            'expected an object with the one key "points", or with the columns x, y and z',
            field="inputs",
        )
    chosen = [list(lists.values())[column] for column in axes.columns]
    if len({len(items) for items in chosen}) > 1:
        raise InvalidInputError("x, y and z differ in length", field="inputs")
    return axes.scaled(_numbers([list(row) for row in zip(*chosen, strict=True)]))


_SPLIT_KEYS = ("index", "columns", "data")


def _points_of_records(rows: Sequence[JsonValue]) -> Array:
    first = rows[0]
    names = list(first) if isinstance(first, dict) else []
    axes = find_axes(names)
    if axes is None:
        raise InvalidInputError(EXPECTED, field="inputs")
    keys = [names[column] for column in axes.columns]
    try:
        chosen: list[Any] = [[row[key] for key in keys] for row in rows]  # type: ignore[index,call-overload]
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidInputError(
            f"expected points with {', '.join(map(repr, keys))}, as the first has", field="inputs"
        ) from error
    return axes.scaled(_numbers(chosen))


def _numbers(rows: list[Any]) -> Array:
    """Convert nested lists of numbers; null is NaN."""
    try:
        array = np.asarray(rows)
        if array.dtype == object and array.ndim == 2:
            kinds = {type(item) for item in array.flat}
            if kinds <= {int, float, type(None)}:
                return array.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(EXPECTED, field="inputs") from error
    if array.ndim < 2 or array.dtype.kind not in "iuf":
        raise InvalidInputError(EXPECTED, field="inputs")
    return array


def _named(array: Array, names: Sequence[str]) -> Array:
    axes = find_axes(names) if array.ndim == 2 and array.shape[1] == len(names) else None
    if axes is None:
        raise InvalidInputError("expected columns named x, y and z", field="inputs")
    return axes.scaled(array[:, axes.columns])


def _coordinates(array: Array) -> Array:
    """Return x, y and z of rows whose columns have no names."""
    if array.shape[1] == 3 and stated(PointOptions).columns is None:
        return array
    sample = np.asarray(array[:_SAMPLE_ROWS], dtype=np.float64).tolist()
    if not sample:
        return array[:, :3]
    return array[:, guess_axes(sample).columns]


def _points_of_fields(array: Array) -> Array:
    """Return the points of an array of records, as NumPy's structured arrays are."""
    array = array.reshape(-1)
    names = [name for name in array.dtype.names or () if _is_scalar(array.dtype[name])]
    axes = find_axes(names) if len(names) > 2 else None
    if axes is None:
        for name in array.dtype.names or ():
            field = array.dtype[name]
            if name.lower() in _VECTORS and field.shape == (3,) and field.base.kind in "iuf":
                return np.asarray(array[name])
        raise InvalidInputError(
            f"expected fields x, y and z, got {', '.join(array.dtype.names or ())}", field="inputs"
        )
    chosen = [array[names[column]].astype(np.float64) for column in axes.columns]
    return axes.scaled(np.stack(chosen, axis=1))


def _is_scalar(field: np.dtype[Any]) -> bool:
    return field.shape == () and field.kind in "iuf"
