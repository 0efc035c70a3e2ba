"""What was sent in the place of a file: its address, its name, or its text in base64.

It is looked for once an input cannot be read, so that readable inputs do not wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import JsonValue

from omnivec2.errors import InputError
from omnivec2.preprocess.formats.guards.base64_text import (
    decode_base64_text,
    refuse_address,
    text_of_object,
)

_LONGEST_ADDRESS = 4096
_SHORTEST_BASE64 = 40
_START = 256
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=\s-]+")


def refuse_misplaced(content: bytes | JsonValue, accepts: str) -> None:
    """Refuse the address or the name of a file, as the body or as a JSON value.

    Args:
        content: The input that cannot be read.
        accepts: The accepted formats in words.

    Raises:
        InvalidInputError: It is an address or a name.
    """
    if isinstance(content, bytes):
        if len(content) > _LONGEST_ADDRESS or not content.isascii():
            return
        content = content.decode("ascii").strip().removeprefix("@")
    if isinstance(content, str):
        refuse_address(content, accepts)
    else:
        text_of_object(content, accepts)


def file_in_base64(data: bytes, limit: int, sniff: Callable[[bytes], str | None]) -> bytes | None:
    """Return the file that a body holds as base64 text or as a ``data:`` URL; None if it does not.

    Args:
        data: The body.
        limit: The most bytes of the file.
        sniff: The detector of accepted types.
    """
    is_url = data[:5] == b"data:"
    if not is_url and (len(data) < _SHORTEST_BASE64 or not _BASE64.fullmatch(data[:_START])):
        return None
    try:
        found = decode_base64_text(data.decode("ascii"), limit, "a file")
    except (InputError, UnicodeError):
        return None
    return found if sniff(found) is not None else None
