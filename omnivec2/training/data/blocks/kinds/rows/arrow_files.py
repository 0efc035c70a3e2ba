"""Parquet and Arrow files of any column types, read with pyarrow."""

from __future__ import annotations

import json
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


def read_class_names(path: Path) -> dict[str, list[str]]:
    """Return the names of classes by column that the library ``datasets`` wrote into a file.

    Args:
        path: The file; one without such names, or of another format, has none.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError):
        return {}
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"][
            "features"
        ]
    except (ValueError, KeyError, TypeError):
        return {}
    return class_names_of_features(features)


def class_names_of_features(features: Any) -> dict[str, list[str]]:
    """Return the names of classes by column, of features of the library ``datasets``.

    Args:
        features: The features as JSON: column -> its type. The fields of a column of structs, or
            of lists of them, are named with a dot, such as ``objects.category``.
    """
    found: dict[str, list[str]] = {}
    for name, feature in features.items() if isinstance(features, dict) else ():
        one = _of_entries(feature)
        if not isinstance(one, dict):
            continue
        if one.get("_type") == "ClassLabel":
            found[name] = [str(label) for label in one.get("names", [])]
        elif "_type" not in one:
            inner = class_names_of_features(one)
            found |= {f"{name}.{field}": labels for field, labels in inner.items()}
    return found


def _of_entries(feature: Any) -> Any:
    """Return the type of a list's entries; other types as they are."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        return feature["feature"]
    return feature


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
