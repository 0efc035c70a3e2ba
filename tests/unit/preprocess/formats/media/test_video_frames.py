from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media import video_frames
from omnivec2.preprocess.formats.media.video_frames import FramePosition
from omnivec2.spec import Limits


class Container:
    """A container of made-up packets."""

    def __init__(self, *packets: Any) -> None:
        self.packets = packets

    def demux(self, _: Any) -> tuple[Any, ...]:
        return self.packets


class Stream:
    def __init__(self, frames: int = 0) -> None:
        self.frames = frames


def packet(size: int = 10, *, key: bool = False, corrupt: bool = False) -> Any:
    made = av.Packet(bytes(size))
    made.is_keyframe = key
    if corrupt:
        made.is_corrupt = True
    return made


def groups_of(*packets: Any, frames: int = 0, max_bytes: int = 1_000) -> list[int]:
    container: Any = Container(*packets)
    stream: Any = Stream(frames)
    groups = video_frames.group_packets(container, stream, Limits(frames=5), "MP4", max_bytes)
    return [len(group) for group in groups]


def test_groups_start_with_key_frames_and_empty_packets_do_not_count():
    packets = (packet(), packet(0), packet(key=True), packet(), packet(key=True))
    assert groups_of(*packets) == [1, 2, 1]


def test_clips_that_unpack_to_more_than_they_should_are_too_large():
    with pytest.raises(TooLargeError, match="unpacks"):
        groups_of(packet(600), packet(600))
    with pytest.raises(TooLargeError, match="frames"):
        groups_of(*(packet() for _ in range(6)))


def test_damaged_packets_and_missing_frames_are_undecodable():
    with pytest.raises(UndecodableError, match="damaged"):
        groups_of(packet(), packet(corrupt=True))
    with pytest.raises(UndecodableError, match="2 of 3 frames"):
        groups_of(packet(), packet(), frames=3)
    with pytest.raises(InvalidInputError, match="no frames"):
        groups_of()


def positions(sizes: list[int], frames: int, pixels: int) -> list[FramePosition]:
    groups = [[packet() for _ in range(size)] for size in sizes]
    return video_frames.choose_frames(groups, frames, pixels, "MP4")


def test_middles_are_chosen_where_decoding_them_is_affordable():
    assert positions([4, 4], 2, 1) == [(0, 2), (1, 2)]


def test_key_frames_are_chosen_where_the_middles_take_too_much_decoding(monkeypatch):
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 4)
    assert positions([4, 4], 2, 1) == [(0, 0), (1, 0)]
    with pytest.raises(TooLargeError, match="few key frames"):
        positions([40, 1], 8, 1)


def test_frames_larger_than_declared_stop_the_decoding(monkeypatch):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        stream = opened.add_stream("mpeg4", rate=Fraction(10))
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            pixels = np.zeros((32, 32, 3), np.uint8)
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        opened.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as opened:
        video = opened.streams.video[0]
        groups = video_frames.group_packets(opened, video, Limits(), "MP4", 10**6)
        wanted = [FramePosition(0, rank) for rank in range(4)]
        decoded = list(video_frames.decode(video, groups, wanted, "MP4"))
        assert [place for place, _ in decoded] == wanted
        monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 1_000)
        with pytest.raises(TooLargeError, match="more decoding"):
            list(video_frames.decode(video, groups, wanted, "MP4"))
