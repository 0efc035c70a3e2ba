"""How DICOM files begin; apart from their parser, whose libraries take long to load."""

from __future__ import annotations

import struct

PREAMBLE = 128
PREFIX = b"DICM"
_META_START = b"\x02\x00\x00\x00UL\x04\x00"
_GROUP = 0x0008  # the first one of a data set
_LAST_FIRST_ELEMENT = 0x0060
_MOST_BYTES = 1024
_REPRESENTATIONS = frozenset(b"AE AS CS DA DT IS LO PN SH TM UI UL US".split())
_EXPLICIT_LITTLE, _EXPLICIT_BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"


def is_dicom(data: bytes) -> bool:
    """Whether bytes start a DICOM file, with or without its preamble or its whole header."""
    return (
        data[PREAMBLE : PREAMBLE + len(PREFIX)] == PREFIX
        or data.startswith((PREFIX, _META_START))
        or bare_syntax(data) is not None
    )


def bare_syntax(data: bytes) -> str | None:
    """Return the transfer syntax of a data set without header, by its first element, or None."""
    if len(data) < 8:
        return None
    for order, explicit in (("<", _EXPLICIT_LITTLE), (">", _EXPLICIT_BIG)):
        group, element = struct.unpack_from(f"{order}HH", data)
        if group != _GROUP or element > _LAST_FIRST_ELEMENT:
            continue
        if data[4:6] in _REPRESENTATIONS:
            return explicit
        if order == "<" and struct.unpack_from("<I", data, 4)[0] <= _MOST_BYTES:
            return _IMPLICIT_LITTLE
    return None
