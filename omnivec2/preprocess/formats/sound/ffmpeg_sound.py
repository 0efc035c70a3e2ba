"""Sound that FFmpeg decodes: AAC of phones and radios, Opus of browsers, and rarer kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media.av_containers import (
    check_all_read,
    default_track,
    open_container,
    same_demuxer,
)
from omnivec2.preprocess.formats.media.whole_files import check_whole
from omnivec2.preprocess.formats.sound.sound_file import UNKNOWN_FRAMES, Block, SoundFile
from omnivec2.preprocess.notes import NoteCode, note

_MOST_DAMAGED_SHARE = 0.05
"""The share of packets that may be damaged, as those of a radio stream; more is a damaged file."""

STREAMS = ("AAC", "AMR", "MP3")
"""Kinds without a container: they may be cut anywhere, and state no length."""

_STATED_LENGTHS = ("FLAC", "OGG", "AIFF", "AU", "W64")
"""Kinds whose stated length is the number of samples, not an estimate."""


@contextmanager
def open_with_ffmpeg(data: bytes, kind: str) -> Iterator[SoundFile]:
    """Open a file of sound with FFmpeg; see :func:`.sound_reader.open_sound` for errors."""
    # The container of M4A is MP4, and what an MP4 holds besides its sound is not read.
    check_whole(data, "MP4" if kind == "M4A" else kind)
    with open_container(data, kind) as opened:
        stream = default_track(opened.streams.audio, kind, "sound")
        if stream is None:
            raise InvalidInputError(f"the {kind} file holds no sound", field="inputs")
        if stream.codec_context is None:
            raise UndecodableError(
                f"unsupported: the codec of the {kind}; convert it with "
                "ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav",
                field="inputs",
            )
        if any(not v.disposition & Disposition.attached_pic for v in opened.streams.video):
            note(NoteCode.IGNORED, f"only the sound of the {kind} was used, not its pictures")
        yield _described(data, kind, stream, _Reader(opened, stream, kind, len(data)))


def _described(data: bytes, kind: str, stream: AudioStream, reader: _Reader) -> SoundFile:
    """Return what the first frame tells; a header may state another rate than there is."""
    rate = reader.first.sample_rate
    stated = None
    if kind in _STATED_LENGTHS and stream.duration and stream.time_base:
        length = round(stream.duration * stream.time_base * rate)
        stated = length if length < UNKNOWN_FRAMES else None
    readers = [reader]

    def blocks() -> Iterator[Block]:
        if readers:
            yield from readers.pop().blocks()
            return
        # Opened once more rather than sought in: what decoders leave out at a start differs.
        with open_container(data, kind) as opened:
            again = opened.streams.audio[index]
            yield from _Reader(opened, again, kind, len(data)).blocks()

    index = next(n for n, other in enumerate(stream.container.streams.audio) if other is stream)
    floats = stream.codec_context.name.startswith("pcm_f")
    return SoundFile(rate, reader.first.layout.nb_channels, stated, floats, blocks)


class _Reader:
    """Reads the sound of one stream, once.

    Attributes:
        first: The first frame.
    """

    def __init__(
        self, opened: InputContainer, stream: AudioStream, kind: str, file_bytes: int
    ) -> None:
        self._opened, self._stream, self._kind = opened, stream, kind
        self._max_bytes = 2 * file_bytes + 2**20
        stream.codec_context.thread_count = 1  # requests run side by side already
        self._late = _samples_late(stream)
        self._frames = self._decoded()
        first = next(self._frames, None)
        if first is None:
            raise UndecodableError(f"no sound of the {kind} can be decoded", field="inputs")
        self.first = first

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks (frames, channels), from the first on."""
        first = self.first
        left, late = self._samples_shown(first.sample_rate), self._late
        for frame in chain([first], self._frames):
            if frame.sample_rate != first.sample_rate or (
                frame.layout.nb_channels != first.layout.nb_channels
            ):
                raise InvalidInputError(
                    f"the sampling rate or channels of the {self._kind} change on the way; convert "
                    "it with ffmpeg -i INPUT OUTPUT.wav",
                    field="inputs",
                )
            block = samples_of(frame)
            block, late = block[late:], late - min(late, len(block))
            if left is not None:
                block, left = block[:left], left - len(block[:left])
            yield block
            if left == 0:
                return

    def _samples_shown(self, rate_hz: int) -> int | None:
        """Return the samples that an edit list lets a player play, or None for all."""
        duration, tick = self._stream.duration, self._stream.time_base
        if not same_demuxer(self._kind, "M4A") or not duration or not tick:
            return None
        return round(duration * tick * rate_hz)

    def _decoded(self) -> Iterator[AudioFrame]:
        read = size = damaged = 0
        for packet in self._opened.demux(self._stream):
            read += packet.dts is not None or packet.size > 0
            size += packet.size
            if size > self._max_bytes:
                raise TooLargeError(f"the {self._kind} unpacks to more than it should",
                                    field="inputs")  # fmt: skip
            if packet.is_corrupt and self._kind not in STREAMS:
                raise UndecodableError(
                    f"the {self._kind} file is damaged or truncated", field="inputs"
                )
            try:
                frames = self._stream.codec_context.decode(packet if packet.size else None)
            except FFmpegError:
                damaged += 1
                continue
            yield from frames
        check_all_read(self._stream, read, self._kind)
        # A stream is cut in the middle of its last packet.
        if damaged > max(self._kind in STREAMS, _MOST_DAMAGED_SHARE * read):
            raise UndecodableError(f"the {self._kind} file is damaged", field="inputs")
        if damaged:
            note(
                NoteCode.REPAIRED,
                f"packets of the {self._kind} could not be decoded and were left out",
                count=damaged,
            )


def _samples_late(stream: AudioStream) -> int:
    """Return how many samples of an encoder's delay FFmpeg leaves at the start.

    Opus counts its delay at 48 kHz (RFC 7845, section 5.1); FFmpeg counts that of a Matroska
    file at the rate of the sound that was encoded, and leaves out less if that is lower.
    """
    codec = stream.codec_context
    head = codec.extradata or b""
    if codec.name != "opus" or not head.startswith(b"OpusHead"):
        return 0
    return max(int.from_bytes(head[10:12], "little") - codec.delay, 0)


def samples_of(frame: AudioFrame) -> Block:
    """Return the samples of a frame (frames, channels) in -1..1."""
    array = frame.to_ndarray()
    values = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - np.float32(128)) / np.float32(128)
    if values.dtype.kind == "i":
        return values.astype(np.float32) / np.float32(1 << (8 * values.dtype.itemsize - 1))
    return np.ascontiguousarray(values, dtype=np.float32)
