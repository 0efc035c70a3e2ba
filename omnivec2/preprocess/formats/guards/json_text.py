"""UTF-8 and JSON with this project's errors."""

from __future__ import annotations

import codecs

from pydantic import JsonValue
from pydantic_core import from_json

from omnivec2.errors import UndecodableError

_LONG_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, *_LONG_MARKS)
_FEW_SIGNS = 8
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def decode_utf8(data: bytes) -> str:
    """Decode UTF-8 bytes; a byte order mark is dropped, and one of UTF-16 or UTF-32 is heeded.

    Raises:
        UndecodableError: the bytes are not UTF-8, or hold control characters that no
            text has (they are of another kind of file).
    """
    try:
        text = _decode_marked(data) if data.startswith(_MARKS) else data.decode("utf-8-sig")
    except UnicodeError as error:
        where = f": byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise UndecodableError(
            f"not UTF-8 text{where} cannot be decoded; a text in another encoding names it in its "
            "type, such as Content-Type: text/plain; charset=windows-1252",
            field="inputs",
        ) from error
    plain = text.encode() if data.startswith(_MARKS) else data
    if len(plain.translate(None, _CONTROLS)) != len(plain):
        raise UndecodableError("not text: it holds control characters", field="inputs")
    return text


def _decode_marked(data: bytes) -> str:
    """Decode bytes that begin with a mark of UTF-16 or UTF-32, unless it is there by chance."""
    text = data.decode("utf-32" if data.startswith(_LONG_MARKS) else "utf-16")
    if len(text) < _FEW_SIGNS and not any(map(str.isascii, text)):
        raise UnicodeError("no text")
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
