"""The limits and the construction of frames that the readers of CSV, Parquet and JSON share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import is_time_text
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

INDEX_NAMES = frozenset({"", "Unnamed: 0"})
"""The names that a data frame's index has as the first column of a file."""

_INDEX_LEVEL = "__index_level_"
"""The start of its name in Parquet, where it may be any column."""


def make_frame(
    names: Sequence[str], columns: Sequence[Array], *, named: bool, text_numbers: bool = True
) -> Frame:
    """Build a frame from a reader's columns; those without a name are named by position.

    A data frame's row numbers are left out; its index of times is kept. Of columns with the same
    name and values one is kept; if their values differ, none is, and asking for it is an error.
    """
    kept: dict[str, Array] = {}
    twice: set[str] = set()
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        if named and len(columns) > 1 and _is_index(name, index) and not _holds_times(column):
            continue
        key = name or f"column {index + 1}"
        if key in kept and not _are_equal(kept[key], column):
            twice.add(key)
        else:
            kept.setdefault(key, column)
    for name in twice:
        del kept[name]
        note(
            NoteCode.IGNORED,
            f"several columns are named {name!r} and hold different values; none was used",
            field=name,
        )
    return Frame(kept, named=named, text_numbers=text_numbers, twice=frozenset(twice))


def _is_index(name: str, position: int) -> bool:
    return (position == 0 and name in INDEX_NAMES) or name.startswith(_INDEX_LEVEL)


def _holds_times(column: Array) -> bool:
    """Whether an index is one of times; a time series cannot do without it."""
    if column.dtype.kind == "M":
        return True
    is_text = column.dtype == object and len(column) > 0
    return is_text and is_time_text(column[0]) and is_time_text(column[-1])


def _are_equal(first: Array, second: Array) -> bool:
    if first.dtype != second.dtype:
        return False
    return bool(((first == second) | (_is_nan(first) & _is_nan(second))).all())


def _is_nan(column: Array) -> Array:
    return np.array([cell != cell for cell in column.tolist()], bool)  # noqa: PLR0124


def check_columns(count: int, limits: Limits) -> None:
    """Raise ``TooLargeError`` if there are more columns than the limit."""
    if limits.columns is not None and count > limits.columns:
        raise TooLargeError(
            f"table has {count:,} columns; at most {limits.columns:,} are accepted",
            field="inputs",
        )


def check_rows(count: int, limits: Limits) -> None:
    """Raise ``TooLargeError`` if there are more rows than the limit."""
    if limits.rows is not None and count > limits.rows:
        raise TooLargeError(
            f"table has {count:,} rows; at most {limits.rows:,} are accepted", field="inputs"
        )
