"""Decoding of a few frames of a video without decoding all of it.

Compressed frames form groups that start with a key frame and can be decoded on their own.
They are cheap to list, so the wanted frames are found by counting, groups without one are
skipped, and of the others no more is decoded than is needed. Nothing relies on seeking,
which not every container supports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import check_frames
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.spec import Limits

Packet: TypeAlias = "av.Packet[VideoStream]"

MAX_DECODED_PIXELS = 2_500_000_000
"""The largest number of pixels decoded for one clip: 1,200 frames of 1920 x 1080, which take
some seconds of one core."""


class FramePosition(NamedTuple):
    """The position of a frame: its group, and its rank in the group's order of display."""

    group: int
    rank: int


def group_packets(
    opened: InputContainer, stream: VideoStream, limits: Limits, kind: str, max_bytes: int
) -> list[list[Packet]]:
    """Read the compressed frames, in groups that start with a key frame.

    Args:
        opened: The container.
        stream: The video stream.
        limits: The head's limits; ``frames`` is checked while counting.
        kind: The container's name, for messages.
        max_bytes: The largest sum of packet sizes; a container may compress its packets
            once more.

    Raises:
        TooLargeError: there are too many frames or bytes.
        UndecodableError: there are fewer frames than declared, or damaged ones.
        InvalidInputError: there are no frames.
    """
    groups: list[list[Packet]] = []
    count = size = 0
    for packet in opened.demux(stream):
        if not packet.size:
            continue
        count += 1
        size += packet.size
        check_frames(count, limits, kind)
        if size > max_bytes:
            raise TooLargeError(f"the {kind} unpacks to more than it should", field="inputs")
        if packet.is_corrupt:
            raise UndecodableError(f"the {kind} file is damaged", field="inputs")
        if not groups or packet.is_keyframe:
            groups.append([])
        groups[-1].append(packet)
    check_frames(count, limits, kind)
    if count < stream.frames:
        raise UndecodableError(
            f"the {kind} file is truncated: {count} of {stream.frames} frames", field="inputs"
        )
    return groups


def choose_frames(
    groups: Sequence[Sequence[Packet]], frames: int, pixels: int, kind: str
) -> list[FramePosition]:
    """Choose the middle frame of each of ``frames`` equal parts of the clip.

    If reaching those takes too much decoding, the nearest key frames are chosen instead,
    provided that there is about one for every part.

    Args:
        groups: The compressed frames, from :func:`group_packets`.
        frames: The number of frames to choose.
        pixels: The width x height.
        kind: The container's name, for messages.

    Raises:
        TooLargeError: either choice takes too much decoding.
    """
    places = [
        FramePosition(g, rank) for g, group in enumerate(groups) for rank in range(len(group))
    ]
    middles = uniform_frames(len(places), frames)
    wanted = [places[index] for index in middles]
    deepest = {place.group: place.rank for place in wanted}
    if pixels * sum(rank + 1 for rank in deepest.values()) <= MAX_DECODED_PIXELS:
        return wanted
    keys = np.array([index for index, place in enumerate(places) if place.rank == 0])
    nearest = keys[np.abs(keys[:, None] - middles).argmin(axis=0)]
    if np.abs(nearest - middles).max() > len(places) / frames:
        raise _too_much(kind)
    return [places[index] for index in nearest]


def decode(
    stream: VideoStream,
    groups: Sequence[Sequence[Packet]],
    wanted: Sequence[FramePosition],
    kind: str,
) -> Iterator[tuple[FramePosition, VideoFrame]]:
    """Decode the wanted frames in order, each once; those that do not decode are left out.

    Raises:
        TooLargeError: the frames are larger than declared, and take too much decoding.
    """
    codec = stream.codec_context
    spent = 0
    for group in sorted({place.group for place in wanted}):
        ranks = {place.rank for place in wanted if place.group == group}
        codec.flush_buffers()
        shown = 0
        for packet in (*groups[group], None):
            for frame in codec.decode(packet):
                spent += frame.width * frame.height
                if shown in ranks:
                    yield FramePosition(group, shown), frame
                shown += 1
            if spent > MAX_DECODED_PIXELS:
                raise _too_much(kind)
            if shown > max(ranks):
                break


def upright(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Convert a frame to RGB (height, width, 3), rotated by the container's display matrix."""
    pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy turns
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _too_much(kind: str) -> TooLargeError:
    return TooLargeError(
        f"the {kind} takes more decoding than {MAX_DECODED_PIXELS:,} pixels, because it has "
        "few key frames for its size; send a smaller or shorter clip",
        field="inputs",
    )
