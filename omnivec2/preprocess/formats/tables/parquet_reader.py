"""Parquet -> a frame.

It uses pyarrow, which raises exceptions on damaged files (polars panics on some). The
metadata of single columns is never accessed: that can crash the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet, types

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.parquet_sizes import DeclaredSizes, declared_sizes
from omnivec2.preprocess.formats.tables.table_limits import check_columns, check_rows, make_frame
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_VALUE_BYTES = 8
"""What a value takes when read; in the file, repeated ones are stored once."""

_DAMAGE_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""The errors of pyarrow on damaged files; texts that are not UTF-8 cause the last."""


def read_parquet(data: bytes, limits: Limits, *, lists: bool = False) -> Frame:
    """Read the flat columns of a Parquet file; those of other types are noted.

    Args:
        data: The file.
        limits: The limits on rows, columns and bytes.
        lists: Whether columns of lists of numbers are read too, as arrays in their cells.

    Raises:
        UndecodableError: the file is not readable Parquet.
        TooLargeError: the file declares too many rows, columns or bytes.
        InvalidInputError: there are no rows, or no flat columns.
    """
    sizes = declared_sizes(data, limits.decoded_bytes // _VALUE_BYTES, nested=lists)
    try:
        file = parquet.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        footer = file.metadata
        check_columns(footer.num_columns, limits)
        check_rows(footer.num_rows, limits)
        _check_sizes(sizes, limits)
        flat = [
            field
            for field in file.schema_arrow
            if _is_flat(field.type) or (lists and _is_list_of_numbers(field.type))
        ]
        # A long text repeated in every row is stored once in the file: keep it once in memory too.
        texts = [field.name for field in flat if _is_text(field.type)]
        names = [field.name for field in flat]
        file = parquet.ParquetFile(
            pa.BufferReader(data), metadata=footer, read_dictionary=texts, pre_buffer=False
        )
        table = file.read(columns=names, use_threads=False)
        table.validate(full=True)
        table = _with_texts(table)
        columns = [_column(table.column(index)) for index in range(table.num_columns)]
    except _DAMAGE_ERRORS as error:
        raise UndecodableError("not a readable Parquet file", field="inputs") from error
    unread = [field.name for field in file.schema_arrow if field.name not in table.column_names]
    if unread:
        note(
            NoteCode.IGNORED,
            f"columns of types that hold no single values were not used: {', '.join(unread[:8])}",
            count=len(unread),
        )
    # The footer may also state a wrong number of rows.
    check_rows(table.num_rows, limits)
    if not table.num_rows or not columns:
        raise InvalidInputError("table is empty", field="inputs")
    return make_frame(list(table.column_names), columns, named=True)


def _check_sizes(sizes: DeclaredSizes, limits: Limits) -> None:
    if max(sizes.unpacked_bytes, _VALUE_BYTES * sizes.values) > limits.decoded_bytes:
        raise TooLargeError(
            f"table is larger than {limits.decoded_bytes:,} bytes when decoded", field="inputs"
        )


def _with_texts(table: Any) -> Any:
    """Return a table whose columns of bytes are texts, without those that are none."""
    for name in table.column_names:
        column = table.column(name)
        kind = column.type
        words = kind.value_type if types.is_dictionary(kind) else kind
        if types.is_binary(words) or types.is_large_binary(words):
            try:
                column = column.cast(pa.dictionary(pa.int32(), pa.string()))
                column.validate(full=True)
            except pa.ArrowInvalid:
                table = table.drop_columns(name)
            else:
                table = table.set_column(table.column_names.index(name), name, column)
    return table


def _is_text(kind: Any) -> bool:
    """Whether a type is one of texts; old writers do not say that their bytes are UTF-8."""
    checks = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(check(kind) for check in checks)


def _is_flat(kind: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    checks = (
        types.is_null,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_date,
        types.is_timestamp,
        types.is_time,
        types.is_duration,
    )
    return _is_text(kind) or any(check(kind) for check in checks)


def _is_list_of_numbers(kind: Any) -> bool:
    if not (types.is_list(kind) or types.is_large_list(kind)):
        return False
    return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def _column(column: Any) -> Array:
    """Convert an Arrow column to one of the forms of :class:`Frame`."""
    kind = column.type
    if types.is_dictionary(kind):
        return np.concatenate([_dictionary(chunk) for chunk in column.chunks])
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    if types.is_date(kind) or types.is_timestamp(kind):
        return np.asarray(column.cast(pa.timestamp("us"), safe=False).to_numpy())
    if types.is_time(kind):
        column = column.cast(pa.string())
    if types.is_duration(kind):
        nanoseconds = column.cast(pa.duration("ns"), safe=False).cast(pa.int64())
        return np.asarray(nanoseconds.cast(pa.float64(), safe=False).to_numpy() / 1e9)
    if _is_list_of_numbers(kind):
        return _lists(column)
    return np.array(column.to_pylist(), dtype=object)


def _lists(column: Any) -> Array:
    """Return float64 arrays as the cells of a column of lists; None where one is missing."""
    cells = np.empty(len(column), dtype=object)
    row = 0
    for chunk in column.chunks:
        values = chunk.values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        offsets, missing = chunk.offsets.to_numpy(), chunk.is_null().to_numpy(zero_copy_only=False)
        for start, stop, is_missing in zip(offsets[:-1], offsets[1:], missing, strict=True):
            cells[row] = None if is_missing else values[start:stop]
            row += 1
    return cells


def _dictionary(chunk: Any) -> Array:
    """Return the texts of a dictionary-encoded chunk; equal ones share memory."""
    texts = np.array([*chunk.dictionary.to_pylist(), None], dtype=object)
    # The last entry stands for missing.
    return np.asarray(texts[chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy()])
