"""The sizes that a codestream declares in its first bytes: JPEG, JPEG-LS, JPEG 2000, PNG, WebP.

A container (DICOM, TIFF) declares a size of its own, but a decoder relies on the codestream's.
The two are compared before the decoder runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from omnivec2.errors import TooLargeError

MAX_JPEG_SCANS = 100
MAX_SCANNED_PIXELS = 500_000_000
"""The largest number of scans x pixels of a JPEG, at about five nanoseconds each. Encoders
write up to ten scans or so; a decoder goes over the whole picture for each, even an empty one."""

_START_OF_SCAN = b"\xff\xda"  # inside coded data a JPEG never has 0xff before 0xda
_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_MOST_COMPONENTS = 4
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


@dataclass(frozen=True)
class JpegFrame:
    """The frame header of a JPEG or JPEG-LS stream.

    Attributes:
        marker: The second byte of its marker: 0xC0 baseline, 0xC2 progressive, 0xC3 lossless.
        bits: The bits per sample.
        width: The columns.
        height: The rows.
        components: The number of components.
    """

    marker: int
    bits: int
    width: int
    height: int
    components: int


def declared_size(stream: bytes) -> tuple[int, int, int] | None:
    """Read (width, height, components), or None if the bytes do not start a codestream.

    The components of PNG and WebP are those of which they have the most, four.
    """
    try:
        if stream.startswith(_JPEG_START):
            frame = jpeg_frame(stream)
            return None if frame is None else (frame.width, frame.height, frame.components)
        if stream.startswith(_PNG_START):
            return (*struct.unpack_from(">II", stream, len(_PNG_START)), _MOST_COMPONENTS)
        if stream[:4] == b"RIFF" and stream[8:12] == b"WEBP":
            return _webp_size(stream)
        at = 0
        if stream.startswith(_JPEG2000_BOX):
            at = stream.find(_JPEG2000_START, 0, _MAX_BOX_BYTES)
        if at < 0 or stream[at : at + 4] != _JPEG2000_START:
            return None
        _, _, right, bottom, left, top, components = _SIZ.unpack_from(stream, at + 4)
    except struct.error:
        return None
    return right - left, bottom - top, components


def declared_bits(stream: bytes) -> int:
    """Read the bits per sample of a JPEG, JPEG-LS or JPEG 2000 codestream; 8 if unreadable."""
    if stream.startswith(_JPEG_START):
        frame = jpeg_frame(stream)
        return 8 if frame is None else frame.bits
    at = stream.find(_JPEG2000_START, 0, _MAX_BOX_BYTES) + len(_JPEG2000_START) + _SIZ.size
    return (stream[at] & 0x7F) + 1 if at < len(stream) else 8


def jpeg_frame(stream: bytes) -> JpegFrame | None:
    """Read the frame header of a JPEG or JPEG-LS stream, or None if there is none."""
    at = len(_JPEG_START)
    try:
        while at + 1 < len(stream) and stream[at] == 0xFF:
            marker = stream[at + 1]
            at += 2
            if marker == 0xFF:  # fill byte
                at -= 1
            elif marker in _START_OF_FRAME:
                _, bits, height, width, components = _SOF.unpack_from(stream, at)
                return JpegFrame(marker, bits, width, height, components)
            elif marker not in _WITHOUT_LENGTH:
                at += struct.unpack_from(">H", stream, at)[0]
    except struct.error:
        return None
    return None


def _webp_size(stream: bytes) -> tuple[int, int, int] | None:
    """Read the size of a WebP (RFC 9649); of the canvas if it has one."""
    kind = stream[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(stream[24:27], "little") + 1
        height = int.from_bytes(stream[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(stream[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", stream, 26))
    else:
        return None
    return width, height, _MOST_COMPONENTS
