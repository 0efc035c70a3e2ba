"""TIFF files made by hand, which say what no writer would."""

from __future__ import annotations

import struct

_SHORT, _LONG = 3, 4


def tiff_bytes(
    strip: bytes,
    size: tuple[int, int] = (64, 64),
    *,
    compression: int = 1,
    bits: int = 8,
    photometric: int = 1,
    samples: int = 1,
    tile: tuple[int, int] | None = None,
) -> bytes:
    """A little-endian file of one page with one strip, or one tile of its own size."""
    tags = {
        256: (_LONG, [size[0]]), 257: (_LONG, [size[1]]), 258: (_SHORT, [bits] * samples),
        259: (_SHORT, [compression]), 262: (_SHORT, [photometric]), 277: (_SHORT, [samples]),
        284: (_SHORT, [1]),
    }  # fmt: skip
    if tile is None:
        tags |= {273: (_LONG, [8]), 278: (_LONG, [size[1]]), 279: (_LONG, [len(strip)])}
    else:
        tags |= {322: (_LONG, [tile[0]]), 323: (_LONG, [tile[1]])}
        tags |= {324: (_LONG, [8]), 325: (_LONG, [len(strip)])}
    start = 8 + len(strip) + len(strip) % 2
    behind = start + 2 + 12 * len(tags) + 4
    entries = rest = b""
    for code, (kind, values) in sorted(tags.items()):
        packed = b"".join(struct.pack("<H" if kind == _SHORT else "<I", v) for v in values)
        place = (
            packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", behind + len(rest))
        )
        rest += packed if len(packed) > 4 else b""
        entries += struct.pack("<HHI", code, kind, len(values)) + place
    head = b"II*\0" + struct.pack("<I", start) + strip + bytes(len(strip) % 2)
    return head + struct.pack("<H", len(tags)) + entries + bytes(4) + rest
