"""HEIC files made box by box, with pictures from FFmpeg's encoder: no writer has every kind."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np

_MATRICES = {"bt470bg": (5, 6), "bt709": (1, 1)}  # FFmpeg's number, and that of an nclx box
_PARAMETER_SETS = (32, 33, 34)


def box(kind: bytes, body: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def rotated(quarters: int) -> bytes:
    """The property of a picture to be turned anticlockwise by so many quarters."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """The property of a picture to be mirrored: 0 top to bottom, 1 left to right."""
    return box(b"imir", bytes([axis]))


def cropped(width: int, height: int, right: int, down: int) -> bytes:
    """The property of a picture to be cut, its middle shifted by whole pixels."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, right, 1, down, 1))


def with_profile(profile: bytes) -> bytes:
    """The property of a picture with an ICC profile."""
    return box(b"colr", b"prof" + profile)


@dataclass
class HeicKind:
    """How a picture is stored.

    Attributes:
        tile: The (height, width) of its tiles; None if it is in one piece.
        properties: Properties of the whole picture, in the order in which they apply.
        pixel_format: FFmpeg's name of the stored samples.
        is_full_range: Whether black to white are 0 to 255.
        matrix: FFmpeg's name of the conversion from RGB.
        has_nclx: Whether the file states range and matrix, beside the stream.
        brand: The brand of the file.
        coding: The kind of its coded items; HEVC whatever it says.
    """

    tile: tuple[int, int] | None = None
    properties: list[bytes] = field(default_factory=list)
    pixel_format: str = "yuv420p"
    is_full_range: bool = True
    matrix: str = "bt470bg"
    has_nclx: bool = True
    brand: bytes = b"heic"
    coding: bytes = b"hvc1"


@dataclass
class _Item:
    kind: bytes
    data: bytes
    properties: list[bytes]
    sources: list[int] = field(default_factory=list)


def heic(colours: np.ndarray, kind: HeicKind | None = None) -> bytes:
    """Store RGB pixels (height, width, 3) of even sides."""
    kind = kind or HeicKind()
    if kind.tile is None:
        items = [_coded(colours, kind)]
        items[0].properties += kind.properties
    else:
        items = _grid(colours, kind, *kind.tile)
    inside = items[0].data if kind.tile else b""
    start = len(_head(items, inside, kind, 0)) + 8
    body = b"".join(item.data for item in items[bool(inside) :])
    return _head(items, inside, kind, start) + box(b"mdat", body)


def _grid(colours: np.ndarray, kind: HeicKind, height: int, width: int) -> list[_Item]:
    rows, columns = -(-colours.shape[0] // height), -(-colours.shape[1] // width)
    below, beside = rows * height - colours.shape[0], columns * width - colours.shape[1]
    filled = np.pad(colours, ((0, below), (0, beside), (0, 0)), mode="edge")
    tiles = [
        _coded(filled[r : r + height, c : c + width], kind)
        for r in range(0, rows * height, height)
        for c in range(0, columns * width, width)
    ]
    size = colours.shape[1], colours.shape[0]
    declared = [_full(b"ispe", struct.pack(">II", *size)), *kind.properties]
    grid = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", *size)
    return [_Item(b"grid", grid, declared, list(range(2, 2 + len(tiles)))), *tiles]


def _coded(colours: np.ndarray, kind: HeicKind) -> _Item:
    configuration, data = _encode(np.ascontiguousarray(colours), kind)
    properties = [
        box(b"hvcC", configuration),
        _full(b"ispe", struct.pack(">II", colours.shape[1], colours.shape[0])),
    ]
    if kind.has_nclx:
        matrix, flags = _MATRICES[kind.matrix][1], 0x80 if kind.is_full_range else 0
        properties.append(box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, matrix, flags)))
    return _Item(kind.coding, data, properties)


def _encode(colours: np.ndarray, kind: HeicKind) -> tuple[bytes, bytes]:
    """Return the decoder's configuration (hvcC) and the picture's units."""
    encoder: Any = av.CodecContext.create("libx265", "w")
    encoder.height, encoder.width = colours.shape[:2]
    encoder.pix_fmt = kind.pixel_format
    encoder.time_base = Fraction(1, 25)
    span = "full" if kind.is_full_range else "limited"
    encoder.options = {
        "x265-params": f"keyint=1:qp=8:log-level=0:range={span}:colormatrix={kind.matrix}"
    }
    frame = av.VideoFrame.from_ndarray(colours, format="rgb24").reformat(
        format=kind.pixel_format,
        dst_colorspace=_MATRICES[kind.matrix][0],
        src_color_range=2,
        dst_color_range=2 if kind.is_full_range else 1,
    )
    frame.pts = 0
    stream = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    stream = bytes(encoder.extradata or b"") + stream
    units = [unit for unit in re.split(b"\0\0\0\1|\0\0\1", stream) if unit]
    sets = {unit[0] >> 1 & 63: unit for unit in units}
    arrays = b"".join(
        bytes([0x80 | number]) + struct.pack(">HH", 1, len(sets[number])) + sets[number]
        for number in _PARAMETER_SETS
    )
    depth = 0xFA if "10" in kind.pixel_format else 0xF8
    profile = b"\1" + sets[33][3:15]
    fixed = struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFD, depth, depth, 0, 0x0F, 3)
    coded = [unit for unit in units if unit[0] >> 1 & 63 < min(_PARAMETER_SETS)]
    pictures = b"".join(struct.pack(">I", len(unit)) + unit for unit in coded)
    return profile + fixed + arrays, pictures


def _full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + body)


def _head(items: list[_Item], inside: bytes, kind: HeicKind, start: int) -> bytes:
    """Everything before the pixels, which are at ``start``."""
    known = list(dict.fromkeys(p for item in items for p in item.properties))
    used = b"".join(
        struct.pack(">HB", number, len(item.properties))
        + bytes(0x80 | known.index(p) + 1 for p in item.properties)
        for number, item in enumerate(items, 1)
    )
    places, at = b"", start
    for number, item in enumerate(items, 1):
        method, offset = (1, 0) if inside and number == 1 else (0, at)
        places += struct.pack(">HHHHII", number, method, 0, 1, offset, len(item.data))
        at += 0 if method else len(item.data)
    names = b"".join(
        _full(b"infe", struct.pack(">HH", number, 0) + item.kind + b"\0", 2)
        for number, item in enumerate(items, 1)
    )
    made = b"".join(
        box(b"dimg", struct.pack(f">HH{len(item.sources)}H", 1, len(item.sources), *item.sources))
        for item in items
        if item.sources
    )
    count = struct.pack(">H", len(items))
    used = struct.pack(">I", len(items)) + used
    properties = box(b"ipco", b"".join(known)) + _full(b"ipma", used)
    meta = (
        _full(b"hdlr", struct.pack(">I4s12x", 0, b"pict") + b"\0")
        + _full(b"pitm", struct.pack(">H", 1))
        + _full(b"iloc", b"\x44\0" + count + places, 1)
        + _full(b"iinf", count + names)
        + (_full(b"iref", made) if made else b"")
        + box(b"iprp", properties)
        + (box(b"idat", inside) if inside else b"")
    )
    brands = kind.brand + bytes(4) + b"mif1" + kind.brand
    return box(b"ftyp", brands) + _full(b"meta", meta)
