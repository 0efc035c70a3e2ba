"""The limits and the construction of frames that the readers of CSV, Parquet and JSON share."""

from __future__ import annotations

from collections.abc import Sequence

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.spec import Limits

INDEX_NAMES = frozenset({"", "Unnamed: 0", "__index_level_0__"})
"""The names that a data frame's index column has in a file; the column is left out."""


def make_frame(
    names: Sequence[str], columns: Sequence[Array], *, named: bool, text_numbers: bool = True
) -> Frame:
    """Build a frame from a reader's columns; those without a name are named by position.

    Raises:
        InvalidInputError: two columns have the same name.
    """
    kept: dict[str, Array] = {}
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        if named and index == 0 and name in INDEX_NAMES and len(columns) > 1:
            continue
        key = name or f"column {index + 1}"
        if key in kept:
            raise InvalidInputError(f"two columns are named {key!r}", field=f"inputs.{key}")
        kept[key] = column
    return Frame(kept, named=named, text_numbers=text_numbers)


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
