"""JSON bodies: parsing within limits, and the envelopes around inputs."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import from_json

from omnivec2.errors import (
    InvalidInputError,
    InvalidParameterError,
    TooLargeError,
    UndecodableError,
)
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.notes import NoteCode, note

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# TensorFlow Serving, Vertex AI and KServe; MLflow.
_OF_OTHER_SERVERS = ("instances", "dataframe_split", "dataframe_records")
_INPUTS = ("inputs", "table", *_OF_OTHER_SERVERS)
_BESIDE_INSTANCES = {"instances", "parameters", "params", "options", "signature_name"}
_BESIDE_DATAFRAMES = {"dataframe_split", "dataframe_records", "parameters", "params", "options"}

_HINTS = {
    "trailing characters": "; it holds several values: one JSON document is expected, not JSON"
    " Lines",
    "invalid unicode": "; JSON is written in UTF-8",
    "key must be a string": "; names and texts are in double quotes",
}
"""What a parser says of mistakes that are made often, and what is expected instead."""

# Older clients of Hugging Face send these; they are about its hosting, not about the answer.
_HOSTING_OPTIONS = {"use_cache", "wait_for_model", "use_gpu"}


@dataclass(frozen=True)
class Envelope:
    """The content of a JSON body.

    Attributes:
        inputs: The value of the inputs.
        parameters: The parameters as sent, not yet checked.
        is_table: Whether it is a table in Hugging Face's tabular form, which is one input.
    """

    inputs: JsonValue
    parameters: Mapping[str, JsonValue]
    is_table: bool = False


def parse_json(data: bytes, max_values: int) -> JsonValue:
    """Parse a JSON document; a byte order mark is dropped.

    Raises:
        TooLargeError: It holds more than ``max_values`` values.
        UndecodableError: It is not JSON.
    """
    check_json_values(data, max_values)
    if not data.strip():
        raise UndecodableError("the body is empty; expected JSON", field="body")
    try:
        if data.startswith(_MARKS):
            data = data.decode(json.detect_encoding(data)).encode()
        value: JsonValue = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        if "control character" in str(error) and (repaired := _parse_with_line_breaks(data)):
            return repaired
        hint = next((hint for words, hint in _HINTS.items() if words in str(error)), "")
        raise UndecodableError(f"not valid JSON: {error}{hint}", field="body") from error
    return value


def _parse_with_line_breaks(data: bytes) -> JsonValue:
    """Parse JSON whose strings hold raw line breaks, as base64 has; None if that is not all."""
    try:
        value: JsonValue = json.loads(data, strict=False, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    note(
        NoteCode.REPAIRED,
        "a string of the JSON body holds raw line breaks, which were kept; write them as \\n, or "
        "make base64 in one line (base64 -w0)",
    )
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_json_values(data: bytes, max_values: int) -> None:
    """Refuse JSON of too many values without parsing it.

    Every value but the first follows one of three characters; counting these is far cheaper than
    the objects that the values would become.

    Raises:
        TooLargeError: It holds more than ``max_values`` values.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise TooLargeError(f"the JSON body holds more than {max_values:,} values", field="body")


def is_envelope(value: JsonValue) -> bool:
    """Whether a JSON value is a request with inputs, rather than an input itself."""
    if not isinstance(value, dict):
        return False
    if "inputs" in value or "table" in value:
        return True
    # Other objects may be tables with columns of these names.
    instances = isinstance(value.get("instances"), list) and value.keys() <= _BESIDE_INSTANCES
    frames = not value.keys().isdisjoint(_OF_OTHER_SERVERS) and value.keys() <= _BESIDE_DATAFRAMES
    return instances or frames


def open_envelope(body: Mapping[str, JsonValue]) -> Envelope:
    """Return the inputs and the parameters of a request's JSON body.

    Raises:
        InvalidInputError: It holds no inputs, or several kinds of them.
        InvalidParameterError: Parameters or options are no objects.
    """
    rest = dict(body)
    given = [name for name in _INPUTS if name in rest]
    if len(given) != 1:
        raise InvalidInputError(
            f'expected either "inputs" or "table", got {" and ".join(given)}', field=given[-1]
        )
    (name,) = given
    value = rest.pop(name)
    parameters = {**_object(rest, "parameters"), **_object(rest, "params")}
    _drop_options(rest)
    if name == "table" and value is not None:
        # Hugging Face's feature-extraction task sends its parameters beside the inputs.
        return Envelope({"table": value}, {**rest, **parameters}, is_table=True)
    if name == "instances" and rest.pop("signature_name", None) is not None:
        note(NoteCode.IGNORED, "signature_name was ignored: heads have addresses of their own")
    if name == "dataframe_split":
        value = _columns_of_split(value)
    elif name == "dataframe_records" and not _are_rows(value):
        raise InvalidInputError("expected a list of row objects", field=name)
    return Envelope(value, {**rest, **parameters})


def _object(body: dict[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = body.pop(name, None)
    if not isinstance(value, dict | None):
        raise InvalidParameterError(f'"{name}" must be an object', field=name)
    return value or {}


def _drop_options(body: dict[str, JsonValue]) -> None:
    if not isinstance(body.get("options"), dict | None):
        return  # a parameter of that name, which is refused by name if there is none
    for name in sorted(_object(body, "options").keys() - _HOSTING_OPTIONS):
        note(
            NoteCode.IGNORED,
            f'the option was ignored; what changes answers goes into "parameters", known options '
            f"are {', '.join(sorted(_HOSTING_OPTIONS))}",
            field=f"options.{name}",
        )


def _are_rows(value: JsonValue) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _columns_of_split(value: JsonValue) -> JsonValue:
    """Return pandas' split form as columns: name -> values."""
    if not isinstance(value, dict):
        raise InvalidInputError(
            'expected {"columns": […], "data": [[…], …]}, got ' + json_type(value),
            field="dataframe_split",
        )
    names, rows = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or not names:
        raise InvalidInputError(
            'expected {"columns": […], "data": [[…], …]}', field="dataframe_split"
        )
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InvalidInputError(
            "two columns have the same name", field="dataframe_split.columns", known=sorted(texts)
        )
    return {name: cells for name, cells in zip(texts, _transposed(rows, len(texts)), strict=True)}


def _transposed(rows: Sequence[JsonValue], width: int) -> list[list[JsonValue]]:
    columns: list[list[JsonValue]] = [[] for _ in range(width)]
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            got = len(row) if isinstance(row, list) else json_type(row)
            raise InvalidInputError(
                f"row {number + 1}: expected a list of {width} values, got {got}",
                field=f"dataframe_split.data[{number}]",
            )
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return columns
