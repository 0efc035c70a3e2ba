"""Strict requests: those that are refused if there are notes on an input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnivec2.errors import InvalidParameterError

if TYPE_CHECKING:
    from service.access.api_keys import Key

STRICT_HEADER = "X-Strict"
"""The header, and in small letters the gRPC metadata, by which a caller asks for it."""

_WORDS = {"true": True, "?1": True, "1": True, "false": False, "?0": False, "0": False}


def is_strict(header: str | None, key: Key | None, *, by_default: bool) -> bool:
    """Return whether notes on an input refuse a request: by its header, its key or the setting.

    Args:
        header: The value of ``X-Strict``; None if there is none.
        key: The API key of the caller; None where none is required.
        by_default: The gateway's setting.

    Raises:
        InvalidParameterError: The header is neither true nor false.
    """
    wanted = parse_strict(header)
    return wanted or by_default or (key is not None and key.strict)


def parse_strict(value: str | None) -> bool:
    """Return whether a request is strict, by its header ``X-Strict``; False if there is none.

    Raises:
        InvalidParameterError: The header is neither true nor false.
    """
    if value is None:
        return False
    strict = _WORDS.get(value.strip().lower())
    if strict is None:
        raise InvalidParameterError(
            f"{STRICT_HEADER}: expected true or false", field=STRICT_HEADER, known=("true", "false")
        )
    return strict
