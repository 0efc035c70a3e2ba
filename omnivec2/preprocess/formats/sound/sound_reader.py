"""Files of sound as blocks of samples: libsndfile's formats, and FFmpeg's for all others."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import soundfile

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.media.media_signatures import id3_end
from omnivec2.preprocess.formats.media.mpeg_frames import mpeg_samples, mpeg_start
from omnivec2.preprocess.formats.media.whole_files import check_whole
from omnivec2.preprocess.formats.sound import streamed_headers, wav_chunks
from omnivec2.preprocess.formats.sound.sound_file import UNKNOWN_FRAMES, Block, SoundFile
from omnivec2.preprocess.formats.sound.wav_chunks import codec_tag
from omnivec2.preprocess.notes import NoteCode, note

BLOCK_FRAMES = 1 << 16

_LIBSNDFILE = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64")
_MP3_STATED_LENGTH = re.compile(rb"(?:Xing|Info)\0\0\0[\x01-\x0f]")
"""Start of the tag in which an encoder states the number of frames; without it decoders guess."""

_MP3_STATES_FRAMES, _MP3_STATES_BYTES = 1, 2
_MP3_BEHIND_BYTES = 8192

_UNREADABLE_CODECS = ("G72", "NMS_ADPCM", "DWVW")
"""Codecs of telephones and samplers that soundfile cannot read in blocks, and FFmpeg misreads."""

_GUESS_TOLERANCE = 1.01


@contextmanager
def open_sound(data: bytes, kind: str) -> Iterator[SoundFile]:
    """Open a file of sound with the library that reads its kind.

    Args:
        data: The file.
        kind: The name of its container, as ``container_of`` tells it.

    Raises:
        UndecodableError: no library reads it, now or within the ``with`` block.
        InvalidInputError: it holds no sound.
        TooLargeError: its tables claim too many samples.
    """
    data = _repaired(data, kind)
    opened = _open_with_libsndfile(data, kind) if kind in _LIBSNDFILE else None
    if opened is not None:
        with _libsndfile_errors(kind), opened:
            yield _described(opened, data, kind)
        return
    # Not on loading: most sound does not need FFmpeg.
    from omnivec2.preprocess.formats.sound.ffmpeg_sound import open_with_ffmpeg

    try:
        with open_with_ffmpeg(data, kind) as sound:
            yield sound
    except UndecodableError as error:
        tag = codec_tag(data) if kind == "WAV" else None
        if tag is None or tag in _WAV_CODECS:
            raise
        raise _unsupported(f"a WAV with codec {tag:#06x}") from error


def _repaired(data: bytes, kind: str) -> bytes:
    """Return a file as libraries expect it: without tags in front, and of true sizes."""
    if kind == "MP3":
        _note_second_mp3(data)
        return data if data[:3] == b"ID3" else data[mpeg_start(data) or 0 :]
    data = data[id3_end(data) :]
    if kind == "OGG":
        check_whole(data, kind)
    return _TRUE_SIZES[kind](data) if kind in _TRUE_SIZES else data


def _note_second_mp3(data: bytes) -> None:
    """Note that an MP3 goes on behind the length that its encoder stated: pieces were joined."""
    stated = _MP3_STATED_LENGTH.search(data)
    if stated is None or not data[stated.end() - 1] & _MP3_STATES_BYTES:
        return
    at = stated.end() + (4 if data[stated.end() - 1] & _MP3_STATES_FRAMES else 0)
    end = id3_end(data) + int.from_bytes(data[at : at + 4], "big")
    behind = data[end : end + _MP3_BEHIND_BYTES]
    if behind[:3] == b"ID3" or (0 < end < len(data) and mpeg_start(behind) == 0):
        note(NoteCode.IGNORED, "another recording behind the first in the MP3 was not read")


_TRUE_SIZES: Mapping[str, Callable[[bytes], bytes]] = {
    "WAV": wav_chunks.with_true_sizes,
    "AU": streamed_headers.au_with_true_size,
    "CAF": streamed_headers.caf_with_true_size,
    "AIFF": streamed_headers.whole_aiff,
    "W64": streamed_headers.whole_w64,
}

_WAV_CODECS = (1, 3, 0xFFFE)
"""PCM, floats, and extensible: files of these are damaged if they cannot be read."""


def _open_with_libsndfile(data: bytes, kind: str) -> Any:
    """Open a file, or return None if FFmpeg has to read it."""
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (soundfile.SoundFileError, RuntimeError) as error:
        if kind == "MP3" and mpeg_start(data[id3_end(data) :]) is None:
            raise _unreadable(kind) from error  # FFmpeg finds sound in anything
        return None
    gsm = file.subtype == "GSM610"
    if file.subtype.startswith(_UNREADABLE_CODECS) or (gsm and kind not in ("WAV", "W64")):
        file.close()
        raise _unsupported(f"{kind} with codec {file.subtype}")
    if file.frames >= UNKNOWN_FRAMES or gsm or _is_cut(file, data, kind):
        file.close()
        return None
    return file


def _is_cut(file: Any, data: bytes, kind: str) -> bool:
    """Whether libsndfile would stop too early in an MP3, whose length it guesses from its start.

    That guess is wrong where the bit rate varies.
    """
    if kind != "MP3" or _MP3_STATED_LENGTH.search(data) is not None:
        return False
    return mpeg_samples(data, id3_end(data)) > _GUESS_TOLERANCE * int(file.frames)


@contextmanager
def _libsndfile_errors(kind: str) -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _unreadable(kind) from error


def _described(file: Any, data: bytes, kind: str) -> SoundFile:
    stated = int(file.frames)
    guessed = "MPEG" in file.subtype
    if kind == "MP3" and _MP3_STATED_LENGTH.search(data) is not None:
        guessed = False
    frames = None if guessed else stated
    floats = file.subtype in ("FLOAT", "DOUBLE")
    rate, channels = int(file.samplerate), int(file.channels)
    return SoundFile(rate, channels, frames, floats, lambda: _blocks(file))


def _blocks(file: Any) -> Iterator[Block]:
    if file.tell():
        file.seek(0)
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block


def _unreadable(kind: str) -> UndecodableError:
    return UndecodableError(
        f"not a readable {kind} file; it is damaged or truncated", field="inputs"
    )


def _unsupported(what: str) -> UndecodableError:
    return UndecodableError(
        f"unsupported: {what}; convert it with ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav",
        field="inputs",
    )
