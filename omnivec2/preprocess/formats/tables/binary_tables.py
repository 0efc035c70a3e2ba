"""Which tables are read by native code, and which in Python."""

from __future__ import annotations

from pydantic import JsonValue

_SIGNATURES = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"ARROW1")
"""The first bytes of Parquet, of a workbook or another ZIP file, of gzip, and of Arrow."""


def is_binary_table(value: bytes | JsonValue) -> bool:
    """Whether a table is a binary file, which native code reads, rather than text or JSON.

    Args:
        value: A file's bytes, or a JSON value, of which a string is a file in base64.
    """
    return value.startswith(_SIGNATURES) if isinstance(value, bytes) else isinstance(value, str)
