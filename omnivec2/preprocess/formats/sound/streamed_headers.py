"""Headers of AU, CAF, AIFF and W64 files, which leave the length open where they were streamed."""

from __future__ import annotations

import struct

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.notes import NoteCode, note

_AU_UNKNOWN = 0xFFFFFFFF
_AU_HEADER = struct.Struct(">4xII")  # the position of the sound, and its size
_CAF_HEADER_BYTES = 8
_HEADER_BYTES = 64
"""The smallest size of a file with sound; smaller ones were stated before there was any."""

_MEANINGLESS = b"\0\t\n\r "
_CAF_CHUNK = struct.Struct(">4sq")
_CAF_EDIT_COUNT_BYTES = 4
_MAX_CHUNKS = 10_000
_PLACEHOLDER = 1 << 30
"""Sizes from here on are no real ones: no limit allows such files."""


def au_with_true_size(data: bytes) -> bytes:
    """Return an AU file whose header states the size of its sound, or that it is unknown.

    Raises:
        UndecodableError: the file ends before its sound does.
    """
    if len(data) < 12:
        return data
    start, size = _AU_HEADER.unpack_from(data)
    if 0 < size < _PLACEHOLDER:
        _refuse_truncated("AU", size, max(len(data) - start, 0))
        return data
    return data[:8] + _AU_UNKNOWN.to_bytes(4, "big") + data[12:]


def caf_with_true_size(data: bytes) -> bytes:
    """Return a CAF file whose header states the size of its sound.

    Raises:
        UndecodableError: the file ends before its sound does.
    """
    at = _CAF_HEADER_BYTES
    for _ in range(_MAX_CHUNKS):
        if at + _CAF_CHUNK.size > len(data):
            break
        name, size = _CAF_CHUNK.unpack_from(data, at)
        start = at + _CAF_CHUNK.size
        if name == b"data":
            present = len(data) - start
            if _CAF_EDIT_COUNT_BYTES < size < _PLACEHOLDER:
                _refuse_truncated("CAF", size, present)
                return data
            return data[:at] + _CAF_CHUNK.pack(name, present) + data[start:]
        if size < 0:
            break
        at = start + size
    return data


def whole_aiff(data: bytes) -> bytes:
    """Return an AIFF file without what lies behind its end.

    Raises:
        UndecodableError: the file is shorter than it states.
    """
    return _to_stated_end("AIFF", data, 8 + int.from_bytes(data[4:8], "big"))


def whole_w64(data: bytes) -> bytes:
    """Return a Wave64 file without what lies behind its end, which would be taken for sound.

    Raises:
        UndecodableError: the file is shorter than it states.
    """
    return _to_stated_end("W64", data, int.from_bytes(data[16:24], "little"))


def _to_stated_end(kind: str, data: bytes, end: int) -> bytes:
    if end >= _PLACEHOLDER or end <= _HEADER_BYTES:
        return data
    _refuse_truncated(kind, end, len(data) + end % 2)  # the last pad byte is often missing
    if data[end:].strip(_MEANINGLESS):
        note(
            NoteCode.IGNORED,
            f"{len(data) - end:,} bytes behind the end of the {kind} were not read",
        )
    return data[:end]


def _refuse_truncated(kind: str, stated: int, present: int) -> None:
    if stated > present:
        raise UndecodableError(
            f"{kind} is truncated: {present:,} of {stated:,} bytes are present",
            field="inputs",
        )
