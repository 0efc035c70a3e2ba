"""Long recordings, cut into short files that are read one after the other.

Only a piece is in memory at any time, however long the recording is. Sound is decoded and written
as it is, with its rate and its channels; of a video the compressed frames are copied, from one key
frame to another, so that no frame is decoded here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media.av_containers import default_track, open_container
from omnivec2.preprocess.formats.media.frame_times import BROADCAST
from omnivec2.preprocess.formats.media.media_signatures import container_of
from omnivec2.preprocess.formats.media.piece_files import SoundFiles, VideoFiles
from omnivec2.preprocess.formats.sound.ffmpeg_sound import STREAMS, samples_of
from omnivec2.spec import Modality

_SLICES_PER_SECOND = 10
"""Blocks of a codec may be seconds long; pieces must end where they should."""

_SHORTEST_SECONDS = 1.0
"""What is left of a sound behind its last whole piece is added to that if it is shorter."""

_USED_SHARE = 0.9
"""The share of the limit on a file's bytes that the samples of a piece may take."""

_LEAST_SHARE = 0.98
"""The share of the stated length below which a file is truncated, as in short recordings."""

_UNKNOWN_RIFF_BYTES = 0x7FFFF000
"""From here on a stated length of a WAV is what programs have in place of an unknown one."""

_ROUNDING = 1.001
_SNIFFED_BYTES = 2**20
_MOST_DAMAGED = 0.05
"""The share of packets of a sound that may be damaged, as in shorter recordings."""


@dataclass(frozen=True)
class PieceLimits:
    """What a recording and its pieces may be.

    Attributes:
        seconds: The longest recording.
        piece_seconds: The length of a piece; that of a video goes on to the next key frame.
        piece_bytes: The largest file of one piece.
    """

    seconds: float
    piece_seconds: float
    piece_bytes: int


@dataclass(frozen=True)
class RecordingPiece:
    """A piece of a recording.

    Attributes:
        path: The file that holds it.
        total: The number of all pieces by the length that the file states; 0 if it states none.
    """

    path: Path
    total: int


def cut_sound(path: Path, directory: Path, limits: PieceLimits) -> Iterator[RecordingPiece]:
    """Write a recording of sound as WAV files, and yield each as soon as it is whole.

    Args:
        path: The recording.
        directory: The directory for the pieces.
        limits: The longest recording, and the largest piece.

    Raises:
        UndecodableError: It is no recording of sound that can be read, or a damaged one.
        TooLargeError: It is too long.
        InvalidInputError: It holds no sound, or changes its rate or channels.
    """
    with path.open("rb") as file:
        kind = _kind_of(file, "recording of sound")
        if kind == "WAV":
            _check_whole_wav(file)
        with open_container(file, kind) as opened:
            blocks = _sound_blocks(opened, kind)
            rate, first = next(blocks, (0, None))
            if first is None:
                raise InvalidInputError("audio holds no samples", field="inputs")
            channels = first.shape[1]
            seconds = min(
                limits.piece_seconds, _USED_SHARE * limits.piece_bytes / (4 * channels * rate)
            )
            total = _pieces_stated(opened, limits, seconds)
            sound = SoundFiles(directory, rate, channels)
            held = [first]
            for _, block in blocks:
                _check_seconds((sound.all_frames + len(block)) / rate, limits)
                # Behind a whole piece, until there is enough for another.
                held.append(block)
                if sound.frames >= seconds * rate:
                    if sum(map(len, held)) < _SHORTEST_SECONDS * rate:
                        continue
                    yield RecordingPiece(sound.end(), total)
                sound.write(held)
                held.clear()
            sound.write(held)
            stated = (opened.duration or 0) / av.time_base if kind not in STREAMS else 0
            if sound.all_frames < _LEAST_SHARE * stated * rate:
                raise _truncated(kind)
            yield RecordingPiece(sound.end(), total)


def cut_video(path: Path, directory: Path, limits: PieceLimits) -> Iterator[RecordingPiece]:
    """Copy a video into Matroska files, and yield each as soon as it is whole; see ``cut_sound``.

    Raises:
        UndecodableError: It is no video that can be read, or it cannot be cut.
        TooLargeError: It is too long.
        InvalidInputError: It holds no video.
    """
    with path.open("rb") as file:
        kind = _kind_of(file, "video")
        with open_container(file, kind) as opened:
            stream = default_track(opened.streams.video, kind, "video")
            if stream is None:
                raise InvalidInputError(f"the {kind} file holds no video", field="inputs")
            total = _pieces_stated(opened, limits, limits.piece_seconds)
            video = VideoFiles(directory, stream)
            longest = limits.piece_seconds, _USED_SHARE / 2 * limits.piece_bytes
            try:
                for packet in opened.demux(stream):
                    if not packet.size:
                        continue
                    if packet.dts is None:
                        raise UndecodableError(
                            f"the {kind} has frames without time stamps, so that it cannot be cut; "
                            "convert it with ffmpeg -i INPUT OUTPUT.mp4",
                            field="inputs",
                        )
                    if packet.is_corrupt and kind not in BROADCAST:
                        raise UndecodableError(
                            f"the {kind} file is damaged or truncated", field="inputs"
                        )
                    if packet.is_keyframe and video.is_long(packet, *longest):
                        yield RecordingPiece(video.end(), total)
                    video.write(packet)
                    _check_seconds(video.all_seconds, limits)
                if not video.is_open:
                    raise InvalidInputError(f"the {kind} shows no frames", field="inputs")
                yield RecordingPiece(video.end(), total)
            finally:
                video.close()


CUTTERS: Mapping[Modality, Callable[[Path, Path, PieceLimits], Iterator[RecordingPiece]]] = {
    Modality.AUDIO: cut_sound,
    Modality.VIDEO: cut_video,
}
"""How recordings are cut; inputs of other modalities are not."""


def _kind_of(file: BinaryIO, what: str) -> str:
    """Return the name of the container."""
    kind = container_of(file.read(_SNIFFED_BYTES))
    file.seek(0)
    if kind is None or kind == "GIF":
        raise UndecodableError(f"not a {what} that can be cut into pieces", field="inputs")
    return "M4A" if what.endswith("sound") and kind in ("MP4", "MOV") else kind


def _check_whole_wav(file: BinaryIO) -> None:
    """Refuse a WAV that states to be longer than its file is; FFmpeg reads what there is."""
    head = file.read(8)
    stated = int.from_bytes(head[4:], "little")
    length = file.seek(0, 2)
    file.seek(0)
    # Programs that do not know the length when they begin state one of these.
    if head[:4] == b"RIFF" and stated < _UNKNOWN_RIFF_BYTES and length < _LEAST_SHARE * stated:
        raise _truncated("WAV")


def _truncated(kind: str) -> UndecodableError:
    return UndecodableError(f"the {kind} file is truncated", field="inputs")


def _pieces_stated(opened: InputContainer, limits: PieceLimits, seconds: float) -> int:
    """Return the number of pieces by the length that a file states; 0 if it states none.

    Raises:
        TooLargeError: It states to be too long.
    """
    if not opened.duration:
        return 0
    length = opened.duration / av.time_base
    _check_seconds(length, limits)
    return max(1, math.ceil(length / seconds - 0.5))


def _check_seconds(seconds: float, limits: PieceLimits) -> None:
    if seconds > limits.seconds * _ROUNDING:
        raise TooLargeError(
            f"the recording lasts longer than {limits.seconds:g} seconds", field="inputs"
        )


def _sound_blocks(
    opened: InputContainer, kind: str
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield the sampling rate, and blocks (frames, channels)."""
    stream = default_track(opened.streams.audio, kind, "sound")
    if stream is None:
        raise InvalidInputError(f"the {kind} file holds no sound", field="inputs")
    stream.codec_context.thread_count = 1
    form: tuple[int, int] | None = None
    read = damaged = 0
    for packet in opened.demux(stream):
        read += packet.size > 0
        try:
            frames = stream.codec_context.decode(packet if packet.size else None)
        except FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            found = frame.sample_rate, frame.layout.nb_channels
            if form not in (None, found):
                raise InvalidInputError(
                    f"the sampling rate or channels of the {kind} change on the way", field="inputs"
                )
            form = found
            samples, most = samples_of(frame), frame.sample_rate // _SLICES_PER_SECOND
            for start in range(0, len(samples), most):
                yield frame.sample_rate, samples[start : start + most]
    if damaged > 1 and damaged > _MOST_DAMAGED * read:
        raise UndecodableError(f"the {kind} file is damaged", field="inputs")
