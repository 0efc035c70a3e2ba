"""The fields of forms: of multipart bodies, and of URL-encoded ones."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.notes import NoteCode, note
from service.http.forms.content_type import URLENCODED
from service.http.forms.json_bodies import parse_json

PARAMETERS = "parameters"
FILE_FIELDS = frozenset({"file", "files", "inputs"})
"""The names of fields that hold an input, each with or without ``[]`` behind it."""

_TEXT_FIELDS = {"text", "text_pair"}
# Names that begin a form rather than a file: no line of a table, molecule or text begins so.
_FIRST_NAMES = {
    *("inputs", "input", "parameters", "instances", "table", "file", "files", "options"),
    *("text", "text_pair", "texts", "sentence", "sentences", "query", "prompt", "question"),
    *("data", "image", "audio", "video", "url", "image_url", "payload", "body", "review"),
}
_NAME = re.compile(rb"\s*([A-Za-z_][\w.%\[\]-]{0,63})=")
_PAIRS = re.compile(rb"[A-Za-z_][\w.%\[\]-]*=[^\s&=]*(?:&[A-Za-z_][\w.%\[\]-]*=[^\s&=]*)+\s*")
_MOST_FIELDS = 4096


def field_name(name: str) -> str:
    """Return the name of a field without the ``[]`` that some tools put behind it."""
    return name.strip().removesuffix("[]")


def urlencoded_fields(data: bytes) -> list[tuple[str, str]] | None:
    """Return the fields of a URL-encoded form; None if the body is a file.

    curl declares every body as a form, so the type alone says nothing.

    Raises:
        TooLargeError: There are too many fields.
        UndecodableError: They are not text.
    """
    found = _NAME.match(data[:128])
    if found is None:
        return None
    first = field_name(found[1].decode("ascii", "replace").lower().replace("%5b%5d", "[]"))
    if first not in _FIRST_NAMES and not (len(first) > 2 and _PAIRS.fullmatch(data)):
        return None
    try:
        text = data.decode().strip()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except UnicodeDecodeError as error:
        raise UndecodableError(f"the form ({URLENCODED}) is not in UTF-8", field="body") from error
    except ValueError as error:
        raise TooLargeError(
            f"the form has more than {_MOST_FIELDS:,} fields", field="body"
        ) from error


def inputs_of_fields(fields: list[tuple[str, str]], max_values: int) -> list[JsonValue]:
    """Return the inputs in the fields of a URL-encoded form, but for its parameters.

    Raises:
        InvalidInputError: A field is not known, or there is no input.
    """
    names = [field_name(name) for name, _ in fields]
    known = {"inputs", PARAMETERS} if "inputs" in names else {*_TEXT_FIELDS, PARAMETERS}
    if unknown := [name for name in names if name not in known]:
        raise InvalidInputError(
            f"the body is a form ({URLENCODED}) with the unknown field {unknown[0][:64]!r}; "
            'expected "inputs" and "parameters"; a body that is the input itself needs its own '
            "type, such as Content-Type: text/plain",
            field=unknown[0][:64],
            known=("inputs", PARAMETERS),
        )
    values = [(name, value) for name, (_, value) in zip(names, fields, strict=True)]
    inputs = [value for name, value in values if name == "inputs"]
    if inputs:
        return [value_of_field(value, max_values) for value in inputs]
    texts: dict[str, JsonValue] = {name: value for name, value in values if name in _TEXT_FIELDS}
    if not texts:
        raise InvalidInputError('the form has no field "inputs"', field="inputs")
    return [texts]


def value_of_field(text: str, max_values: int) -> JsonValue:
    """Return the value of a field of a form: JSON if it is an object or a list, else its text."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        value = parse_json(text.encode(), max_values)
    except UndecodableError:
        return text
    note(NoteCode.GUESSED, "the field was read as JSON, because it is an object or a list")
    return value
