"""The sizes that a JPEG, JPEG-LS or JPEG 2000 codestream declares in its first markers.

A container (DICOM) declares a size of its own, but a decoder relies on the codestream's.
The two are compared before the decoder runs.
"""

from __future__ import annotations

import struct

from omnivec2.errors import TooLargeError

MAX_JPEG_SCANS = 100
MAX_SCANNED_PIXELS = 500_000_000
"""The largest number of scans x pixels of a JPEG, at about five nanoseconds each. Encoders
write up to ten scans or so; a decoder goes over the whole picture for each, even an empty one."""

_START_OF_SCAN = b"\xff\xda"  # inside coded data a JPEG never has 0xff before 0xda
_JPEG_START = b"\xff\xd8"
_JPEG2000_START = b"\xff\x4f\xff\x51"
_JPEG2000_BOX = b"\x00\x00\x00\x0cjP  "
_MAX_BOX_BYTES = 4096
_SIZ = struct.Struct(">HHIIII16xH")  # ITU-T T.800, A.5.1, from Lsiz to Csiz
_SOF = struct.Struct(">HBHHB")  # ITU-T T.81, B.2.2, from Lf to Nf
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: JPEG-LS
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def check_scans(stream: bytes, pixels: int) -> None:
    """Refuse a JPEG with more scans than a picture needs; other streams pass.

    Args:
        stream: The codestream.
        pixels: The width x height.

    Raises:
        TooLargeError: there are too many scans, or too many for so large a picture.
    """
    scans = stream.count(_START_OF_SCAN) if stream.startswith(_JPEG_START) else 0
    if scans > MAX_JPEG_SCANS or (scans > 1 and scans * pixels > MAX_SCANNED_PIXELS):
        raise TooLargeError(
            f"the JPEG has {scans:,} scans of {pixels:,} pixels; save it as baseline JPEG",
            field="inputs",
        )


def declared_size(stream: bytes) -> tuple[int, int, int] | None:
    """Read (width, height, components), or None if the bytes do not start a codestream."""
    try:
        if stream.startswith(_JPEG_START):
            return _jpeg_size(stream)
        at = 0
        if stream.startswith(_JPEG2000_BOX):
            at = stream.find(_JPEG2000_START, 0, _MAX_BOX_BYTES)
        if at < 0 or stream[at : at + 4] != _JPEG2000_START:
            return None
        _, _, right, bottom, left, top, components = _SIZ.unpack_from(stream, at + 4)
    except struct.error:
        return None
    return right - left, bottom - top, components


def _jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    at = len(_JPEG_START)
    while at + 1 < len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        at += 2
        if marker == 0xFF:  # fill byte
            at -= 1
        elif marker in _START_OF_FRAME:
            _, _, height, width, components = _SOF.unpack_from(stream, at)
            return width, height, components
        elif marker not in _WITHOUT_LENGTH:
            length = struct.unpack_from(">H", stream, at)[0]
            at += length
    return None
