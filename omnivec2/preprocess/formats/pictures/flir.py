"""The raw thermal picture inside a FLIR radiometric JPEG.

The JPEG is a coloured rendering. The sensor's values are in APP1 segments that together
form an FFF file: a header, a directory of records, and a record with the raw picture. The
layout is documented by ExifTool (``FLIR.pm``, tags of FLIR FFF).
"""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, undecodable
from omnivec2.spec import Limits

_SEGMENT_HEAD = struct.Struct(">5sxBB")  # "FLIR\0", 1, number of the segment, the last's number
_RECORD_BYTES = 32
_RAW_DATA = 1
_MAX_RECORDS = 256
_GEOMETRY_BYTES = 32
_NEWEST_VERSION = 200  # versions are 100 to 199; more means the other byte order
_PNG_MAGIC = b"\x89PNG"


def read_raw_thermal(picture: Image.Image, limits: Limits) -> npt.NDArray[np.uint16] | None:
    """Read the raw sensor values (height, width) of an opened JPEG, or None if it has none.

    Raises:
        UndecodableError: the thermal data is damaged.
        TooLargeError: the thermal picture is over ``limits.pixels``.
    """
    fff = _join_segments(getattr(picture, "applist", []))
    if not fff.startswith(b"FFF\x00"):
        return None
    with undecodable("radiometric JPEG"):
        record = _raw_record(fff)
        return None if record is None else _thermal_picture(record, limits)


def _join_segments(segments: list[tuple[str, bytes]]) -> bytes:
    parts: dict[int, bytes] = {}
    last = -1
    for name, body in segments:
        if name == "APP1" and body.startswith(b"FLIR\x00") and len(body) > _SEGMENT_HEAD.size:
            _, number, last = _SEGMENT_HEAD.unpack_from(body)
            parts[number] = body[_SEGMENT_HEAD.size :]
    if len(parts) != last + 1:
        raise UndecodableError("thermal data is missing from the JPEG", field="inputs")
    return b"".join(parts[number] for number in sorted(parts))


def _raw_record(fff: bytes) -> bytes | None:
    """Return the record of type RawData, if there is one."""
    order = ">" if struct.unpack_from(">I", fff, 20)[0] < _NEWEST_VERSION else "<"
    start, count = struct.unpack_from(f"{order}II", fff, 24)
    for index in range(min(count, _MAX_RECORDS)):
        kind, _, _, _, offset, length = struct.unpack_from(
            f"{order}HHIIII", fff, start + _RECORD_BYTES * index
        )
        if kind == _RAW_DATA:
            return fff[offset : offset + length]
    return None


def _thermal_picture(record: bytes, limits: Limits) -> npt.NDArray[np.uint16]:
    # The first number is small; if it reads as large, it is in the other byte order.
    order = "<" if struct.unpack_from("<H", record)[0] < 0x0100 else ">"
    width, height = struct.unpack_from(f"{order}HH", record, 2)
    check_pixels(width, height, limits, "thermal picture")
    body = record[_GEOMETRY_BYTES:]
    if not body.startswith(_PNG_MAGIC):
        values = np.frombuffer(body, dtype=f"{order}u2", count=width * height)
        return values.reshape(height, width).astype(np.uint16)
    with Image.open(io.BytesIO(body), formats=("PNG",)) as png:
        if png.size != (width, height) or not png.mode.startswith("I"):
            raise UndecodableError("the thermal picture disagrees with its header", field="inputs")
        # These cameras write the PNG's samples with the low byte first.
        return np.asarray(png).astype(np.uint16).byteswap()
