"""The boxes of MP4 and MOV files (ISO 14496-12), read before a demuxer is started.

A demuxer builds an index as long as an MP4's tables claim, which can be any number in twelve
bytes, and once more for every edit that shows it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from omnivec2.errors import TooLargeError, UndecodableError

MAX_INDEXED_SAMPLES = 500_000
"""The largest number of entries in an MP4's sample tables: about 24 bytes and 0.5 µs each."""

MAX_INDEXED_EDITS = 4 * MAX_INDEXED_SAMPLES
"""The largest product of samples and edits: every edit may show, and index, all samples."""

_BOX_HEAD = 8
_MAX_BOXES = 100_000
_LARGE_BOX, _LAST_BOX = 1, 0
_PATH_TO_TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_PATH_TO_EDITS = (b"moov", b"trak", b"edts", b"elst")
_SIZE_TABLES = (b"stsz", b"stz2")
_RUN_TABLE = b"trun"
_EDIT_LIST = b"elst"
_MEDIA_DATA = b"mdat"
_COMPRESSED_INDEX = b"cmov"
_COUNT_AT = {b"stsz": 12, b"stz2": 12, _RUN_TABLE: 8}  # after a box's name
_TIMES = struct.Struct(">4xI4xI")  # number of entries, ticks per sample of the first
_NORMAL_SPEED = 1 << 16


class Box(NamedTuple):
    """A box: its name, and where its content starts and ends; the end may be beyond the file's."""

    name: bytes
    start: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes in a range of a file (ISO 14496-12, 4.2)."""
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
        yield Box(name, start + head, start + size)
        start += size


def check_sample_tables(data: bytes) -> None:
    """Refuse an MP4 or MOV whose sample tables claim more entries than a clip has.

    The sound of a MOV may be PCM, which counts every tick as a sample but is not indexed
    by the demuxer; only such tables may be larger.

    Raises:
        TooLargeError: the tables claim more than :data:`MAX_INDEXED_SAMPLES`, or more than
            :data:`MAX_INDEXED_EDITS` with their edits.
        UndecodableError: the tables are compressed, so that nobody can tell what they claim.
    """
    if any(_positions(data, _COMPRESSED_INDEX)):
        raise UndecodableError(
            "unsupported: a QuickTime file with a compressed index; convert it with "
            "ffmpeg -i INPUT -c copy OUTPUT.mp4",
            field="inputs",
        )
    pcm = set(_pcm_tables(data))
    claimed = 0
    for name, count_at in _COUNT_AT.items():
        for at in _positions(data, name):
            if at not in pcm and at + count_at + 4 <= len(data):
                claimed += struct.unpack_from(">I", data, at + count_at)[0]
            if claimed > MAX_INDEXED_SAMPLES:
                raise TooLargeError(
                    f"the file's tables claim more than {MAX_INDEXED_SAMPLES:,} samples",
                    field="inputs",
                )
    edits = sum(
        struct.unpack_from(">I", data, at + 8)[0]
        for at in _positions(data, _EDIT_LIST)
        if at + 12 <= len(data)
    )
    if claimed * edits > MAX_INDEXED_EDITS:
        raise TooLargeError(
            f"the file's {edits:,} edits of {claimed:,} samples are more than "
            f"{MAX_INDEXED_EDITS:,} together",
            field="inputs",
        )


def has_edited_speed(data: bytes) -> bool:
    """Whether an edit list plays a part faster or slower than it was recorded."""
    return any(
        speed not in (_NORMAL_SPEED, 0)
        for box in _descend(data, Box(b"", 0, len(data)), _PATH_TO_EDITS)
        for speed in _edit_speeds(data, box)
    )


def _edit_speeds(data: bytes, box: Box) -> Iterator[int]:
    """Yield the speeds of an edit list, as numbers of 16.16 bits (ISO 14496-12, 8.6.6)."""
    end = min(box.end, len(data))
    if box.start + 8 > end:
        return
    version, count = data[box.start], struct.unpack_from(">I", data, box.start + 4)[0]
    size = 20 if version == 1 else 12
    for at in range(box.start + 8, min(box.start + 8 + count * size, end - size + 1), size):
        yield struct.unpack_from(">i", data, at + size - 4)[0]


def _positions(data: bytes, name: bytes) -> Iterator[int]:
    """Yield where a name stands outside of the media data, which hold any bytes by chance."""
    start = 0
    media = [box for box in boxes(data, 0, len(data)) if box.name == _MEDIA_DATA]
    for box in (*media, Box(b"", len(data), len(data))):
        at = data.find(name, start, box.start)
        while at >= 0:
            yield at
            at = data.find(name, at + 4, box.start)
        start = box.end


def _pcm_tables(data: bytes) -> Iterator[int]:
    """Yield the positions of the names of the size tables of PCM sound."""
    for table in _descend(data, Box(b"", 0, len(data)), _PATH_TO_TABLES):
        inside = list(boxes(data, table.start, table.end))
        times = [box for box in inside if box.name == b"stts"]
        if all(_lasts_one_tick(data, box) for box in times):
            yield from (box.start - 4 for box in inside if box.name in _SIZE_TABLES)


def _lasts_one_tick(data: bytes, times: Box) -> bool:
    end = times.start + _TIMES.size
    return end <= len(data) and _TIMES.unpack_from(data, times.start) == (1, 1)


def _descend(data: bytes, parent: Box, path: tuple[bytes, ...]) -> Iterator[Box]:
    if not path:
        yield parent
        return
    for box in boxes(data, parent.start, parent.end):
        if box.name == path[0]:
            yield from _descend(data, box, path[1:])
