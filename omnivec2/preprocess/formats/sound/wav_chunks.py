"""The chunks of WAV files, whose sizes are often not true.

Who writes a WAV into a pipe cannot go back to fill in the sizes: ffmpeg leaves 0xFFFFFFFF, SoX
0x7FFFF000, arecord 0x80000000, others 0 or what an empty file has. libsndfile then reads nothing,
and reads a truncated file as if it were whole, so sizes are compared with the bytes here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.notes import NoteCode, note

_RIFF_HEAD = 12
_CHUNK_HEAD = 8
_MAX_CHUNKS = 10_000
_PLACEHOLDER = 1 << 30
"""Sizes from here on are those of recordings that were streamed: no limit allows such files."""

_MEANINGLESS = b"\0\t\n\r "
_DATA, _FORMAT, _SIZES_64 = b"data", b"fmt ", b"ds64"


@dataclass(frozen=True)
class _Wav:
    """Where the sound of a WAV is.

    Attributes:
        order: The byte order of its numbers.
        start: The position of the first sample.
        size: The number of bytes of sound, as stated.
    """

    order: Literal["little", "big"]
    start: int
    size: int


def with_true_sizes(data: bytes) -> bytes:
    """Return a WAV whose header states the sound that is there.

    Args:
        data: A WAV, RF64 or BW64 file.

    Returns:
        The same bytes where they are right; else a copy with the sizes filled in.

    Raises:
        UndecodableError: the file ends before its sound does, or holds none.
    """
    wav = _find_sound(data)
    present = len(data) - wav.start
    size = _true_size(data, wav, present)
    if size == wav.size and data[:4] in (b"RIFF", b"RIFX"):
        return data
    head = bytearray(data[: wav.start])
    if data[:4] == b"BW64":  # the same but for its name, which libsndfile does not know
        head[:4] = b"RF64"
    if size != wav.size:
        if head[:4] == b"RF64":
            head[:4] = b"RIFF"
        head[4:8] = (wav.start - 8 + size).to_bytes(4, wav.order)
        head[-4:] = size.to_bytes(4, wav.order)
    return bytes(head) + data[wav.start :]


def codec_tag(data: bytes) -> int | None:
    """Return the number of the codec in a WAV (``wFormatTag``), or None if it states none."""
    order: Literal["little", "big"] = "big" if data[:4] == b"RIFX" else "little"
    at = data.find(_FORMAT, _RIFF_HEAD, 4096)
    return int.from_bytes(data[at + 8 : at + 10], order) if 0 <= at <= len(data) - 10 else None


def _find_sound(data: bytes) -> _Wav:
    order: Literal["little", "big"] = "big" if data[:4] == b"RIFX" else "little"
    at, long_size = _RIFF_HEAD, None
    for _ in range(_MAX_CHUNKS):
        if at + _CHUNK_HEAD > len(data):
            break
        name = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if name == _SIZES_64 and at + 24 <= len(data):
            long_size = struct.unpack_from("<Q", data, at + 16)[0]
        if name == _DATA:
            stated = size if long_size is None or size != 0xFFFFFFFF else long_size
            return _Wav(order, at + _CHUNK_HEAD, stated)
        at += _CHUNK_HEAD + size
        # Odd chunks are padded by a byte, which some writers forget.
        if size % 2 and not (_is_name(data[at : at + 4]) and not _is_name(data[at + 1 : at + 5])):
            at += 1
    raise UndecodableError(
        "the WAV holds no sound (no data chunk); it is truncated, or its header is damaged",
        field="inputs",
    )


def _true_size(data: bytes, wav: _Wav, present: int) -> int:
    """Return the number of bytes of sound; notes tell what had to be concluded."""
    if wav.size > present:
        if wav.size >= _PLACEHOLDER:
            return present
        raise UndecodableError(
            f"WAV is truncated: {present:,} of {wav.size:,} bytes of sound are present",
            field="inputs",
        )
    behind = data[wav.start + wav.size :]
    if len(behind) <= 1 or not behind.strip(_MEANINGLESS):
        return wav.size or _all_if_streamed(wav, present)
    if b"RIFF" in (behind[:4], behind[1:5]):
        note(NoteCode.IGNORED, "another WAV behind the first one was not read")
        return wav.size
    if _are_chunks(behind, wav) or (wav.size % 2 and _are_chunks(behind[1:], wav)):
        return wav.size
    if len(behind) > wav.size:
        note(
            NoteCode.REPAIRED,
            f"the WAV states {wav.size:,} bytes of sound but holds {present:,}; all were read",
        )
        return present
    note(NoteCode.IGNORED, f"{len(behind):,} bytes behind the sound of the WAV were not read")
    return wav.size


def _all_if_streamed(wav: _Wav, present: int) -> int:
    """Return the size of a sound of zeros whose size is 0: silence, streamed."""
    return present if present > 1 else wav.size


def _are_chunks(data: bytes, wav: _Wav) -> bool:
    """Whether bytes are chunks up to their end; the last may be cut off or lack its pad byte."""
    at = 0
    for _ in range(_MAX_CHUNKS):
        if at >= len(data) - 1:
            return True
        if not _is_name(data[at : at + 4]):
            return not data[at:].strip(_MEANINGLESS)
        size = int.from_bytes(data[at + 4 : at + 8], wav.order)
        if at == 0 and size > len(data):
            return False
        at += _CHUNK_HEAD + size + size % 2
    return False


def _is_name(name: bytes) -> bool:
    """Whether four bytes are the name of a chunk: printable, and not a word of samples."""
    return len(name) == 4 and name.isascii() and name.decode().isprintable()
