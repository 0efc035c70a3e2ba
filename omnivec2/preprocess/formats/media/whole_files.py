"""Whether a recording is whole, told from its container before a demuxer is started.

A demuxer plays a truncated file as far as it goes, but an answer about half a clip is not
an answer about the clip. What lies behind the end of a file, such as a log, does no harm.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Final

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.media.iso_boxes import boxes
from omnivec2.preprocess.notes import NoteCode, note

_SEGMENT_ID = b"\x18\x53\x80\x67"
_EBML_HEADER_BYTES = 4096
_MEANINGLESS = b"\0\t\n\r "
"""Bytes that tools leave behind the end of a file, and that nobody misses."""

_INDEX_BOXES = frozenset({b"moov", b"moof"})
_TOP_BOXES: Final = frozenset({
    *_INDEX_BOXES, b"ftyp", b"mdat", b"mfra", b"free", b"skip", b"wide", b"udta", b"meta", b"uuid",
    b"sidx", b"ssix", b"styp", b"emsg", b"prft", b"pdin", b"pnot", b"PICT", b"junk",
})  # fmt: skip

_LARGEST_AVI_SIZE = 0x7FF0_0000
"""Larger sizes, and 0, are what recorders leave that could not go back to the header."""

_OGG_PAGE = b"OggS"
_OGG_HEADER_BYTES = 27
_FIRST_OGG_PAGE = re.compile(rb"OggS\0[\x02\x06]")
_LAST_OGG_PAGE = re.compile(rb"OggS\0[\x04\x05]")

_GIF_END, _GIF_PICTURE, _GIF_EXTENSION = 0x3B, 0x2C, 0x21
_GIF_HEADER_BYTES = 13
_GIF_PICTURE_BYTES = 10


def check_whole(data: bytes, kind: str) -> None:
    """Refuse a file that ends before its container does, and note what lies behind its end.

    MPEG-TS and MPEG-PS have no end, nor do the live forms of WebM. That the samples which an
    MP4's index names are there is seen when they are read.

    Args:
        data: The file.
        kind: The name of its container: MP4, MOV, WebM, AVI, GIF, ...

    Raises:
        UndecodableError: the file is truncated.
    """
    if kind not in _ENDS:
        return
    end = _ENDS[kind](data)
    if end is None:
        raise UndecodableError(f"the {kind} file is truncated", field="inputs")
    behind = len(data) - end
    if behind > 0 and data[end:].strip(_MEANINGLESS):
        note(NoteCode.IGNORED, f"{behind:,} bytes behind the end of the {kind} were not read")


def gif_size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) that a GIF declares; zeros if the file ends before."""
    return struct.unpack_from("<HH", data.ljust(10, b"\0"), len(b"GIF89a"))


def _end_of_iso(data: bytes) -> int | None:
    """Return where the boxes end; what is no box, or none that belongs there, lies behind."""
    end, indexed = 0, False
    for box in boxes(data, 0, len(data)):
        if box.end > len(data):
            if box.name in _INDEX_BOXES:
                return None
            if box.name in _TOP_BOXES:
                end = len(data)
            break
        indexed = indexed or box.name == b"moov"
        end = box.end
    if not indexed:
        raise UndecodableError(
            "the file holds no index (moov): its recording was interrupted, or it is truncated",
            field="inputs",
        )
    return end


def _end_of_webm(data: bytes) -> int | None:
    at = data.find(_SEGMENT_ID, 0, _EBML_HEADER_BYTES) + len(_SEGMENT_ID)
    if at < len(_SEGMENT_ID) or at >= len(data):
        return None
    length = 9 - data[at].bit_length()  # RFC 8794, 4.4: leading zeros count the octets
    if length > 8 or at + length > len(data):
        return None
    unknown = (1 << (7 * length)) - 1  # what a live encoder writes
    size = int.from_bytes(data[at : at + length]) & unknown
    if size in (unknown, 0):
        return len(data)
    end = at + length + size
    return end if end <= len(data) else None


def _end_of_avi(data: bytes) -> int | None:
    end = 0
    while data[end : end + 4] == b"RIFF" and data[end + 8 : end + 11] == b"AVI":
        size = int.from_bytes(data[end + 4 : end + 8], "little")
        if size == 0 or size > _LARGEST_AVI_SIZE:
            return len(data)
        end += 8 + size + size % 2
        if end > len(data) + size % 2:
            return None
    return min(end, len(data))


def _end_of_gif(data: bytes) -> int | None:
    """Walk the blocks of a GIF to its end mark; a file that only lacks the mark is whole."""
    if len(data) < _GIF_HEADER_BYTES:
        return None
    at = _GIF_HEADER_BYTES + _colours_bytes(data[10])
    pictures = 0
    while at < len(data):
        block = data[at]
        if block == _GIF_END:
            return at + 1
        if block == _GIF_EXTENSION:
            start = at + 2
        elif block == _GIF_PICTURE and at + _GIF_PICTURE_BYTES < len(data):
            start = at + _GIF_PICTURE_BYTES + _colours_bytes(data[at + 9]) + 1
            pictures += 1
        else:
            return None
        end = _end_of_blocks(data, start)
        if end is None:
            return None
        at = end
    if at > len(data) or not pictures:
        return None
    note(NoteCode.REPAIRED, "the GIF's end mark is missing; its pictures are all there")
    return len(data)


def _colours_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int | None:
    """Return where a chain of blocks of at most 255 bytes ends; None if the file ends before."""
    while at < len(data):
        if not (size := data[at]):
            return at + 1
        at += 1 + size
    return None


def _end_of_ogg(data: bytes) -> int | None:
    """Return the file's end if its last page is whole (RFC 3533, 6), and note what is chained."""
    at = data.rfind(_OGG_PAGE)
    lacing = at + _OGG_HEADER_BYTES
    if lacing > len(data):
        return None
    sizes = data[lacing : lacing + data[lacing - 1]]
    end = lacing + data[lacing - 1] + sum(sizes)
    last = _LAST_OGG_PAGE.search(data)
    if last is not None and _FIRST_OGG_PAGE.search(data, last.end()) is not None:
        note(NoteCode.IGNORED, "another recording behind the first in the OGG may not be read")
    return min(end, len(data)) if end <= len(data) else None


_ENDS: Mapping[str, Callable[[bytes], int | None]] = {
    "MP4": _end_of_iso,
    "MOV": _end_of_iso,
    "WebM": _end_of_webm,
    "AVI": _end_of_avi,
    "GIF": _end_of_gif,
    "OGG": _end_of_ogg,
}
