"""Parquet and Arrow files of any column types, read with pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnivec2.errors import InvalidInputError


def read_parquet_columns(path: Path) -> Mapping[str, Sequence[Any]]:
    """Return the columns of a Parquet file as Python values.

    Raises:
        InvalidInputError: The file is not readable Parquet.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"{path}: not a readable Parquet file: {error}") from error
    if not table.num_rows:
        raise InvalidInputError(f"{path}: the table is empty")
    return {name: table.column(name).to_pylist() for name in table.column_names}


def read_arrow_columns(path: Path) -> Mapping[str, Sequence[Any]]:
    """Return the columns of an Arrow file as Python values; streams and files are both read.

    Raises:
        InvalidInputError: The file is not readable Arrow.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                table = pa.ipc.open_stream(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                table = pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"{path}: not a readable Arrow file: {error}") from error
    if not table.num_rows:
        raise InvalidInputError(f"{path}: the table is empty")
    return {name: table.column(name).to_pylist() for name in table.column_names}
