"""What a caller may hand over as an input, and how it becomes a file or a JSON value.

===================================  ==========================================================
value                                is read as
===================================  ==========================================================
``pathlib.Path``                     the file
``str``                              the path of a file; of ``text`` and ``graph`` the text itself
``bytes``, an open binary file       the content of a file
a picture of PIL, a NumPy array      a file of a lossless format
``{"array": …, "sampling_rate": …}``  a sound, as the data sets of Hugging Face have it
a data frame                         a Parquet file
``dict``, ``list``, numbers          the JSON form of the modality: a record, a table, a series
===================================  ==========================================================
"""

from __future__ import annotations

import math
import mimetypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.spec import Modality
from omnivec2_api.lossless_files import array_file, picture_file, sound_file, table_file

TEXT_MODALITIES = frozenset({Modality.TEXT, Modality.GRAPH})
"""Modalities of which a string is an input, and not the path of one."""

_LONGEST_NAME = 1024

# What Python's mimetypes does not know, or takes for something else.
_MEDIA_TYPES: Mapping[str, str] = {
    ".jsonl": "application/jsonl",
    ".laz": "application/vnd.laszip",
    ".mat": "application/x-matlab-data",
    ".ndjson": "application/x-ndjson",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".off": "model/off",
    ".parquet": "application/vnd.apache.parquet",
    ".pcd": "application/x-pcd",
    ".ply": "model/ply",
    ".smi": "chemical/x-daylight-smiles",
    ".tsv": "text/tab-separated-values",
}


@dataclass(frozen=True)
class FileValue:
    """An input that is a file.

    Attributes:
        data: The content.
        media_type: The content type that its name suggests; None if there is none.
    """

    data: bytes
    media_type: str | None = None


@dataclass(frozen=True)
class JsonInputValue:
    """An input in the JSON form of its modality."""

    value: JsonValue


InputValue = FileValue | JsonInputValue


def read_input(modality: str, value: Any) -> InputValue:
    """Return what a caller handed over as an input of a modality; see the module.

    Raises:
        InvalidInputError: The value is of no kind that is known, or its file cannot be read.
    """
    if isinstance(value, FileValue | JsonInputValue):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return FileValue(bytes(value))
    if isinstance(value, str):
        if modality not in TEXT_MODALITIES and not value.startswith("data:"):
            return read_file(Path(value))
        _refuse_file_name(value)
        return JsonInputValue(value)
    if isinstance(value, os.PathLike):
        return read_file(Path(value))
    if hasattr(value, "read"):
        return _open_file(value)
    return _in_memory(modality, value)


def read_file(path: Path) -> FileValue:
    """Read a file.

    Raises:
        InvalidInputError: The file cannot be read.
    """
    try:
        data = path.expanduser().read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}", field="inputs") from error
    return FileValue(data, guess_media_type(path.name))


def guess_media_type(name: str) -> str | None:
    """Return the content type that the name of a file suggests, or None."""
    suffix = os.path.splitext(name)[1].lower()
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0]


def _refuse_file_name(text: str) -> None:
    """Refuse a text that is the name of a file, which its author wants to be read.

    Raises:
        InvalidInputError: There is a file of that name.
    """
    if len(text) > _LONGEST_NAME or "\n" in text or not ("." in text or os.sep in text):
        return
    if os.path.isfile(text):
        raise InvalidInputError(
            f"{text!r} is the name of a file, and strings are the input itself here; pass "
            f"pathlib.Path({text!r}) to read the file",
            field="inputs",
        )


def _open_file(file: Any) -> FileValue:
    data = file.read()
    if not isinstance(data, bytes):
        raise InvalidInputError(
            "expected a file that is opened in binary mode, open(name, 'rb')", field="inputs"
        )
    name = getattr(file, "name", "")
    return FileValue(data, guess_media_type(name) if isinstance(name, str) else None)


def _in_memory(modality: str, value: Any) -> InputValue:
    if isinstance(value, Mapping) and "array" in value and "sampling_rate" in value:
        return FileValue(*sound_file(np.asarray(value["array"]), value["sampling_rate"]))
    if isinstance(value, list | tuple) and modality not in TEXT_MODALITIES and _are_paths(value):
        raise InvalidInputError(
            "expected one input, got a list of files; predict_batch answers many", field="inputs"
        )
    if isinstance(value, Mapping | list | tuple | int | float) and not isinstance(value, bool):
        return JsonInputValue(json_value(value))
    if _is_picture(value):
        return FileValue(*picture_file(value))
    if hasattr(value, "__arrow_c_stream__"):
        return FileValue(*table_file(value))
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        file = array_file(modality, array)
        return FileValue(*file) if file else JsonInputValue(json_value(array))
    raise InvalidInputError(
        f"expected a path, bytes, an array, a picture, a table or a record, got "
        f"{type(value).__name__}",
        field="inputs",
    )


def json_value(value: Any) -> JsonValue:
    """Return a value with NumPy's numbers, arrays and tuples as JSON has them; NaN is null.

    Raises:
        InvalidInputError: JSON has no form of it.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise InvalidInputError(
        f"expected texts, numbers, lists and objects, got {type(value).__name__}", field="inputs"
    )


def many_inputs(values: Iterable[Any]) -> Iterable[Any]:
    """Return the inputs of a batch, unless they are one that happens to have parts.

    Raises:
        InvalidParameterError: They are a text, a file, a record or a table.
    """
    is_one = isinstance(values, str | bytes | bytearray | os.PathLike | Mapping)
    if is_one or hasattr(values, "read") or hasattr(values, "__arrow_c_stream__"):
        raise InvalidParameterError(
            f"expected several inputs, such as a list, got one {type(values).__name__}; "
            "predict answers one input, and every row of a table",
            field="values",
        )
    return values


def _are_paths(values: Sequence[Any]) -> bool:
    """Whether values are files by their names."""
    return bool(values) and all(
        isinstance(value, os.PathLike)
        or (isinstance(value, str) and len(value) <= _LONGEST_NAME and os.path.isfile(value))
        for value in values
    )


def _is_picture(value: Any) -> bool:
    """Whether a value is a picture of PIL, found without importing it."""
    names = ((kind.__module__, kind.__name__) for kind in type(value).__mro__)
    return ("PIL.Image", "Image") in names
