"""Decoding of a few frames of a video without decoding all of it.

Compressed frames form groups that start with a key frame. Groups without a wanted frame are
skipped, and of the others no more is decoded than is needed. In an open group the first frames
to be shown build on the group before, so that decoding starts there. Nothing relies on seeking,
which not every container supports.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.media.frame_times import FrameTimes
from omnivec2.preprocess.notes import NoteCode, note

MAX_DECODED_PIXELS = 2_500_000_000
"""The largest number of pixels decoded for one clip: 1,200 frames of 1920 x 1080, which take
some seconds of one core."""

_REORDERED_FRAMES = 32
"""The packets behind a wanted one after which its frame must have come out of the decoder."""

_MATRIX = struct.Struct("<9i")
_SKEW = 0.02
"""The share of a matrix's larger numbers up to which the smaller ones are rounding."""


class Run(NamedTuple):
    """Packets that are decoded one after the other.

    Attributes:
        start: The position of the first, a key frame.
        last: The position of the last wanted one.
        wanted: The wanted frames, by their number in the order of display.
    """

    start: int
    last: int
    wanted: frozenset[int]


def choose_frames(video: FrameTimes, frames: int, kind: str) -> npt.NDArray[np.int64]:
    """Choose the frames that are shown at ``frames`` evenly spaced times.

    If reaching those takes too much decoding, the nearest key frames are chosen instead,
    provided that there is about one for every part.

    Args:
        video: The frames and their times.
        frames: The number of frames to choose.
        kind: The container's name, for messages.

    Returns:
        Their numbers in the order of display; a short video repeats some.

    Raises:
        TooLargeError: either choice takes too much decoding.
    """
    middles = video.evenly(frames)
    if video.pixels * _packets_to_decode(video, middles) <= MAX_DECODED_PIXELS:
        return middles
    keys = np.flatnonzero([video.packets[at].is_keyframe for at in video.order])
    if not len(keys):
        raise _too_much(kind)
    nearest: npt.NDArray[np.int64] = keys[np.abs(keys[:, None] - middles).argmin(axis=0)]
    off = np.abs(video.times[nearest] - video.times[middles])
    if off.max() > video.seconds / frames:
        raise _too_much(kind)
    note(
        NoteCode.UNUSUAL,
        f"the {kind} is long or large: the key frames nearest to evenly spaced times were used",
    )
    return nearest


def runs(video: FrameTimes, wanted: Sequence[int]) -> list[Run]:
    """Return what has to be decoded for the wanted frames, in the order of decoding."""
    starts = _starts(video)
    found: list[Run] = []
    for place, number in sorted((int(video.order[n]), int(n)) for n in set(wanted)):
        start = starts[number]
        if found and start <= found[-1].last:
            before = found.pop()
            found.append(Run(min(before.start, start), place, before.wanted | {number}))
        else:
            found.append(Run(start, place, frozenset({number})))
    return found


def decode(
    stream: VideoStream, video: FrameTimes, wanted: Sequence[int], kind: str
) -> dict[int, VideoFrame]:
    """Decode the wanted frames.

    A frame that does not come out of the decoder is replaced by the one shown before it, as a
    player would; those for which there is none either are left out.

    Returns:
        The wanted frames' numbers in the order of display -> their pictures.

    Raises:
        TooLargeError: the frames are larger than declared, and take too much decoding.
    """
    spent = _Spent(kind)
    found: dict[int, VideoFrame] = {}
    for run in runs(video, wanted):
        found.update(_decode_run(stream, video, run, spent))
    lost = set(wanted) - set(found)
    if lost and video.pixels * len(video.packets) + spent.pixels <= MAX_DECODED_PIXELS:
        # What a container calls a key frame may need frames before it to be whole.
        whole = Run(0, len(video.packets) - 1, frozenset(lost))
        found.update(_decode_run(stream, video, whole, spent))
    return found


def _decode_run(
    stream: VideoStream, video: FrameTimes, run: Run, spent: _Spent
) -> Iterator[tuple[int, VideoFrame]]:
    numbers = {video.packets[at].pts: n for n, at in enumerate(video.order)}
    stream.codec_context.flush_buffers()
    missing = sorted(run.wanted, reverse=True)
    before: tuple[int, VideoFrame] | None = None
    for count, frame in enumerate(_run_frames(stream, video, run, spent)):
        number = numbers.get(frame.pts, -1) if video.stamped else run.start + count
        while missing and missing[-1] < number:
            yield from _replaced(missing.pop(), before)
        if missing and missing[-1] == number:
            yield missing.pop(), frame
        if not missing:
            return
        if number >= 0:
            before = number, frame
    for number in missing:
        yield from _replaced(number, before)


def _replaced(
    number: int, before: tuple[int, VideoFrame] | None
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frame shown before one that did not decode, if there is one."""
    if before is None:
        return
    if number - before[0] > 1:  # the one right before is what a frame to be hidden leaves on
        note(NoteCode.REPAIRED, "frames that could not be decoded were replaced by earlier ones")
    yield number, before[1]


class _Spent:
    """The pixels decoded so far, which a decoder may find to be more than were declared."""

    def __init__(self, kind: str) -> None:
        self.pixels = 0
        self.kind = kind

    def add(self, frame: VideoFrame) -> None:
        self.pixels += frame.width * frame.height
        if self.pixels > MAX_DECODED_PIXELS:
            raise _too_much(self.kind)


def _run_frames(
    stream: VideoStream, video: FrameTimes, run: Run, spent: _Spent
) -> Iterator[VideoFrame]:
    end = min(run.last + 1 + _REORDERED_FRAMES, len(video.packets))
    for packet in (*video.packets[run.start : end], None):
        for frame in stream.codec_context.decode(packet):
            spent.add(frame)
            yield frame


def _packets_to_decode(video: FrameTimes, wanted: npt.NDArray[np.int64]) -> int:
    return sum(run.last + 1 - run.start for run in runs(video, [int(n) for n in wanted]))


def _starts(video: FrameTimes) -> list[int]:
    """Return for every frame, in the order of display, the key frame where decoding starts.

    Frames without time stamps are only told by counting what comes out of the decoder, which is
    sure from the beginning on: the first to come out after a key frame may be older than it.
    """
    whole = video.pixels * len(video.packets) <= MAX_DECODED_PIXELS
    if not video.stamped and video.reordered and whole:
        return [0] * len(video.order)
    key, before = 0, 0
    starts = [0] * len(video.packets)
    for at, packet in enumerate(video.packets):
        if packet.is_keyframe:
            key, before = at, key
        opening = video.packets[key].pts
        leads = packet.pts is not None and opening is not None and packet.pts < opening
        starts[at] = before if video.stamped and leads else key
    return [starts[at] for at in video.order]


def upright(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Convert a frame to RGB (height, width, 3), turned and mirrored as the container says."""
    # Requests run side by side already, and every thread takes memory of its own.
    pixels = frame.to_ndarray(format="rgb24", threads=1).astype(np.uint8, copy=False)
    sides: Iterable[SideData] = frame.side_data  # type: ignore[assignment] # not its keys
    matrices = [bytes(side) for side in sides if side.type == Type.DISPLAYMATRIX]
    if not matrices or len(matrices[0]) < _MATRIX.size:
        return pixels
    return display(pixels, _MATRIX.unpack_from(matrices[0]))


def display(pixels: npt.NDArray[np.uint8], matrix: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Apply a display matrix (ISO 14496-12, 8.5.2) as far as it turns by right angles or mirrors.

    Args:
        pixels: A picture (height, width, 3).
        matrix: Its nine numbers a b u, c d v, x y w: a point (x, y) is shown at
            (ax + cy, bx + dy).

    Returns:
        The picture as it is shown.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    across = abs(b) + abs(c) > abs(a) + abs(d)
    if across:
        pixels = pixels.swapaxes(0, 1)  # a point (x, y) is now at (y, x)
        a, d, b, c = c, b, a, d
    if max(abs(b), abs(c)) > _SKEW * max(abs(a), abs(d), 1):
        note(
            NoteCode.IGNORED,
            "the display matrix turns by less than a right angle; only right angles were applied",
        )
    rows = slice(None, None, -1 if d < 0 else 1)
    columns = slice(None, None, -1 if a < 0 else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def _too_much(kind: str) -> TooLargeError:
    return TooLargeError(
        f"the {kind} takes more decoding than {MAX_DECODED_PIXELS:,} pixels, because it has "
        "few key frames for its size; send a smaller or shorter clip",
        field="inputs",
    )
