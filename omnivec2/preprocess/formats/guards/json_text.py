"""UTF-8 and JSON with this project's errors."""

from __future__ import annotations

from pydantic import JsonValue
from pydantic_core import from_json

from omnivec2.errors import UndecodableError

_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def decode_utf8(data: bytes) -> str:
    """Decode UTF-8 bytes; a byte order mark is dropped.

    Raises:
        UndecodableError: the bytes are not UTF-8, or hold control characters that no
            text has (they are of another kind of file).
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UndecodableError(
            f"not UTF-8 text: byte {error.start} cannot be decoded", field="inputs"
        ) from error
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise UndecodableError("not text: it holds control characters", field="inputs")
    return text


def parse_json(data: bytes) -> JsonValue:
    """Parse a JSON document; NaN and Infinity are not JSON.

    Raises:
        UndecodableError: the bytes are not JSON.
    """
    try:
        value: JsonValue = from_json(data.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except ValueError as error:
        raise UndecodableError(f"not JSON: {error}", field="inputs") from error
    return value


def unwrap_inputs(value: JsonValue) -> JsonValue:
    """Return the input of a request body ``{"inputs": …}``, and any other value as it is."""
    if isinstance(value, dict) and "inputs" in value and set(value) <= {"inputs", "parameters"}:
        return value["inputs"]
    return value
