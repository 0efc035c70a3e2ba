"""Checks of video containers that are made before a demuxer is started.

A demuxer plays a truncated file as far as it goes, but an answer about half a clip is not
an answer about the clip. It also builds an index as long as an MP4's tables claim, which
can be any number in twelve bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from omnivec2.errors import TooLargeError

MAX_INDEXED_SAMPLES = 500_000
"""The largest number of entries in an MP4's sample tables: about 24 bytes and 0.5 µs each."""

_GIF_MAGICS = (b"GIF87a", b"GIF89a")
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_SEGMENT_ID = b"\x18\x53\x80\x67"
_EBML_HEADER_BYTES = 4096
_QUICKTIME_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_BOX_HEAD = 8
_MAX_BOXES = 100_000
_LARGE_BOX, _LAST_BOX = 1, 0
_PATH_TO_TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_SIZE_TABLES = (b"stsz", b"stz2")
_RUN_TABLE = b"trun"
_COUNT_AT = {b"stsz": 12, b"stz2": 12, _RUN_TABLE: 8}  # after a box's name
_TIMES = struct.Struct(">4xI4xI")  # number of entries, ticks per sample of the first


class _Box(NamedTuple):
    name: bytes
    start: int  # of its content
    end: int


def sniff(data: bytes) -> str | None:
    """Detect the content type of a video by its first bytes, or return None."""
    if data.startswith(_GIF_MAGICS):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "video/x-msvideo"
    if data.startswith(_EBML_MAGIC):
        return "video/webm"
    if data[4:8] == b"ftyp" and data[8:12] != b"qt  ":
        return "video/mp4"
    return "video/quicktime" if data[4:8] in _QUICKTIME_BOXES else None


def is_complete(data: bytes, kind: str) -> bool:
    """Whether a file is as long as its container declares.

    Args:
        data: The file.
        kind: The name of its format: MP4, MOV, WebM, AVI or GIF.
    """
    return _COMPLETENESS_CHECKS[kind](data)


def gif_size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) that a GIF declares; zeros if the file ends before."""
    return struct.unpack_from("<HH", data.ljust(10, b"\0"), len(_GIF_MAGICS[0]))


def check_sample_tables(data: bytes) -> None:
    """Refuse an MP4 or MOV whose sample tables claim more entries than a clip has.

    The sound of a MOV may be PCM, which counts every tick as a sample but is not indexed
    by the demuxer; only such tables may be larger.

    Raises:
        TooLargeError: the tables claim more than :data:`MAX_INDEXED_SAMPLES`.
    """
    pcm = set(_pcm_tables(data))
    claimed = 0
    for name, count_at in _COUNT_AT.items():
        at = data.find(name)
        while at >= 0:
            if at not in pcm and at + count_at + 4 <= len(data):
                claimed += struct.unpack_from(">I", data, at + count_at)[0]
            at = data.find(name, at + 4)
            if claimed > MAX_INDEXED_SAMPLES:
                raise TooLargeError(
                    f"the video's tables claim more than {MAX_INDEXED_SAMPLES:,} samples",
                    field="inputs",
                )


def _pcm_tables(data: bytes) -> Iterator[int]:
    """Yield the positions of the names of the size tables of PCM sound."""
    for table in _descend(data, _Box(b"", 0, len(data)), _PATH_TO_TABLES):
        boxes = list(_boxes(data, table.start, table.end))
        times = [box for box in boxes if box.name == b"stts"]
        if all(_lasts_one_tick(data, box) for box in times):
            yield from (box.start - 4 for box in boxes if box.name in _SIZE_TABLES)


def _lasts_one_tick(data: bytes, times: _Box) -> bool:
    end = times.start + _TIMES.size
    return end <= len(data) and _TIMES.unpack_from(data, times.start) == (1, 1)


def _descend(data: bytes, parent: _Box, path: tuple[bytes, ...]) -> Iterator[_Box]:
    if not path:
        yield parent
        return
    for box in _boxes(data, parent.start, parent.end):
        if box.name == path[0]:
            yield from _descend(data, box, path[1:])


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes in a range of an ISO base media file (ISO 14496-12, 4.2)."""
    end = min(end, len(data))
    for _ in range(_MAX_BOXES):
        if start + _BOX_HEAD > end:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        head = _BOX_HEAD
        if size == _LARGE_BOX and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == _LAST_BOX:
            size = end - start
        if size < head:
            return
        yield _Box(name, start + head, start + size)
        start += size


def _is_complete_iso(data: bytes) -> bool:
    boxes = list(_boxes(data, 0, len(data)))
    return any(box.name == b"moov" for box in boxes) and all(box.end <= len(data) for box in boxes)


def _is_complete_webm(data: bytes) -> bool:
    at = data.find(_SEGMENT_ID, 0, _EBML_HEADER_BYTES) + len(_SEGMENT_ID)
    if at < len(_SEGMENT_ID) or at >= len(data):
        return False
    length = 9 - data[at].bit_length()  # RFC 8794, 4.4: leading zeros count the octets
    if length > 8 or at + length > len(data):
        return False
    unknown = (1 << (7 * length)) - 1  # what a live encoder writes
    size = int.from_bytes(data[at : at + length]) & unknown
    return size in (unknown, 0) or at + length + size <= len(data)


def _is_complete_avi(data: bytes) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _is_complete_gif(data: bytes) -> bool:
    return data.rstrip(b"\x00").endswith(b";")


_COMPLETENESS_CHECKS: Mapping[str, Callable[[bytes], bool]] = {
    "MP4": _is_complete_iso,
    "MOV": _is_complete_iso,
    "WebM": _is_complete_webm,
    "AVI": _is_complete_avi,
    "GIF": _is_complete_gif,
}
