"""Base64 as people send it: lines, no padding, the alphabet for URLs, or a ``data:`` URL."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.notes import NoteCode, note

_ADDRESS = re.compile(r"\s*(?:https?|ftps?|s3|gs|file|hf|ipfs|blob|abfss?)://\S+\s*", re.IGNORECASE)
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_SUFFIXES = (
    "jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|mp4|mov|webm|avi|mkv|mp3|wav|flac|ogg|opus|m4a|aac|"
    "txt|md|pdf|docx?|csv|tsv|jsonl?|parquet|xlsx?|np[yz]|mat|hdr|zip|dcm|ply|pcd|la[sz]|xyz|off|obj|"
    "stl|smi|mol|sdf"
)
_FILE_NAME = re.compile(rf"~?[\w\- .()/\\+@,]*\.(?:{_SUFFIXES})", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
# str() of Python's bytes, and quotation marks that a shell or a template left around the text.
_WRAPPED = re.compile(r"""\s*(?:b?'([^']*)'|b?"([^"]*)")\s*""", re.DOTALL)
# The names under which other services take a file in JSON, and names beside it that change nothing.
_CONTENT_KEYS = {"b64", "b64_json", "base64", "bytes", "bytesBase64Encoded", "content", "data"}
_LABEL_KEYS = {"path", "name", "filename", "type", "mime_type", "mimeType", "media_type"}
_ADDRESS_KEYS = ("url", "uri", "image_url", "audio_url", "href", "path", "gcs_uri", "gcsUri")
_LINE_LENGTHS = (60, 64, 72, 76)
_LONGEST_NAME = 1024
# Lines of 64 characters, each with two for its end, are the shortest that are in use.
_ROOM_FOR_LINES = 1.04


def is_address(text: str) -> bool:
    """Whether a text is nothing but the address of a file, such as ``https://…``."""
    return "://" in text[:16] and _ADDRESS.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Whether a text is nothing but the name or the path of a file, such as ``./cat.jpg``."""
    if len(text) > _LONGEST_NAME:
        return False
    return bool(_WINDOWS_PATH.match(text) or _FILE_NAME.fullmatch(text))


def refuse_address(text: str, accepts: str) -> None:
    """Refuse the address or the name of a file where its content is expected.

    Args:
        text: The text that should be the content.
        accepts: The accepted formats in words.

    Raises:
        InvalidInputError: The text is a URL, a path or a file name.
    """
    if is_address(text):
        raise InvalidInputError(
            "URLs are not fetched: expected the file itself, not its address; send it as the "
            f"body, in a form or as base64 ({accepts})",
            field="inputs",
        )
    if is_file_name(text):
        raise InvalidInputError(
            "files of this machine are not read by name: expected the file itself, not its path; "
            f"send it as the body (curl --data-binary @NAME), in a form or as base64 ({accepts})",
            field="inputs",
        )


def text_of_object(value: JsonValue, accepts: str) -> str | None:
    """Return the base64 text in an object such as ``{"b64": …}``; None if it holds none.

    Args:
        value: The value.
        accepts: The accepted formats in words.

    Raises:
        InvalidInputError: The object holds the address of a file.
    """
    if not isinstance(value, dict):
        return None
    found = [value[key] for key in _CONTENT_KEYS if isinstance(value.get(key), str)]
    if len(found) == 1 and value.keys() <= _CONTENT_KEYS | _LABEL_KEYS:
        return str(found[0])
    for key in _ADDRESS_KEYS:
        text = value.get(key)
        if isinstance(text, str) and not found:
            refuse_address(text, accepts)
    return None


def decode_base64_text(text: str, limit: int, accepts: str) -> bytes:
    """Decode base64, or a ``data:`` URL.

    White space, missing padding and the alphabet for URLs (``-_``) are taken as they are meant.

    Args:
        text: The text.
        limit: The most bytes that it may decode to.
        accepts: The accepted formats in words.

    Raises:
        InvalidInputError: It is the address or the name of a file.
        TooLargeError: It decodes to more than the limit.
        UndecodableError: It is not base64.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            _check_size(len(text) // 3, limit)
            return unquote_to_bytes(text)
    _check_size(int(len(text) * 3 / 4 / _ROOM_FOR_LINES) - 2, limit)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        refuse_address(text, accepts)
        data = _decode_loosely(text, accepts, error)
    _check_size(len(data), limit)
    return data


def _decode_loosely(text: str, accepts: str, error: ValueError) -> bytes:
    if wrapped := _WRAPPED.fullmatch(text):
        text = wrapped[1] or wrapped[2] or ""
        note(
            NoteCode.REPAIRED,
            "quotation marks around the base64 text were left out; in Python, decode() the bytes "
            "that b64encode returns",
        )
    if "%" in text:
        text = unquote_to_bytes(text).decode("latin-1")
    if " " in text.strip() and "\n" not in text:
        text = _with_plus_signs(text.strip())
    plain = "".join(text.split()).rstrip("=").translate(_URL_SAFE)
    if len(plain) % 4 == 1:
        error = ValueError("its length shows that it is cut or that characters are missing")
    else:
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError) as second:
            error = second
    strange = re.search(r"[^A-Za-z0-9+/]", plain)
    reason = f"it holds the character {strange[0]!r}" if strange else str(error)
    raise UndecodableError(
        f"expected base64 text holding {accepts}: {reason}; the file itself can be sent as the "
        "body, with its Content-Type",
        field="inputs",
    )


def _with_plus_signs(text: str) -> str:
    """Return base64 with the plus signs that a form has turned into spaces.

    Lines of equal length that a shell has joined with spaces have lost nothing.
    """
    lines = text.split(" ")
    if len({len(line) for line in lines[:-1]}) == 1 and len(lines[0]) in _LINE_LENGTHS:
        return text
    note(
        NoteCode.REPAIRED,
        "spaces in the base64 text were read as plus signs, which forms lose; encode + as %2B",
    )
    return text.replace(" ", "+")


def _check_size(nbytes: int, limit: int) -> None:
    if nbytes > limit:
        raise TooLargeError(f"input is larger than {limit:,} bytes", field="inputs")
