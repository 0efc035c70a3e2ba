"""What the readers of CSV, Parquet and JSON tables share: limits, and the making of a frame."""

from __future__ import annotations

from collections.abc import Sequence

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.spec import Limits

INDEX_NAMES = frozenset({"", "Unnamed: 0", "__index_level_0__"})
"""What a data frame's index column is called once written to a file; it is left out."""


def make_frame(
    names: Sequence[str], columns: Sequence[Array], *, named: bool, text_numbers: bool = True
) -> Frame:
    """A frame of what a reader found; columns without a name get one by position.

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
    """Raise TooLargeError if there are more columns than allowed."""
    if limits.columns is not None and count > limits.columns:
        raise TooLargeError(
            f"table has {count:,} columns; at most {limits.columns:,} are taken", field="inputs"
        )


def check_rows(count: int, limits: Limits) -> None:
    """Raise TooLargeError if there are more rows than allowed."""
    if limits.rows is not None and count > limits.rows:
        raise TooLargeError(
            f"table has {count:,} rows; at most {limits.rows:,} are taken", field="inputs"
        )
