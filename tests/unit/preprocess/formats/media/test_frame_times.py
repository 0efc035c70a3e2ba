from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media import frame_times
from omnivec2.preprocess.formats.media.frame_times import FrameTimes
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.clips import clip


class Container:
    """A container of made-up packets."""

    def __init__(self, *packets: Any) -> None:
        self.packets = packets

    def demux(self, _: Any) -> tuple[Any, ...]:
        return self.packets


class Codec:
    has_b_frames = False


class Stream:
    time_base = Fraction(1, 10)
    average_rate = Fraction(5)
    width = height = 8
    codec_context = Codec()
    index_entries = ()

    def __init__(self, frames: int = 0) -> None:
        self.frames = frames


def packet(
    size: int = 10,
    *,
    key: bool = False,
    corrupt: bool = False,
    pts: int | None = None,
    dts: int | None = None,
) -> Any:
    made = av.Packet(bytes(size))
    made.is_keyframe = key
    made.pts, made.dts = pts, dts
    made.duration = 1
    if corrupt:
        made.is_corrupt = True
    return made


def read(*packets: Any, kind: str = "MP4", max_bytes: int = 1_000) -> int:
    container: Any = Container(*packets)
    stream: Any = Stream()
    return len(frame_times.read_packets(container, stream, Limits(frames=5), kind, max_bytes))


def test_empty_packets_do_not_count():
    assert read(packet(), packet(0), packet(key=True)) == 2


def test_clips_that_unpack_to_more_than_they_should_are_too_large():
    with pytest.raises(TooLargeError, match="unpacks"):
        read(packet(600), packet(600))
    with pytest.raises(TooLargeError, match="frames"):
        read(*(packet() for _ in range(6)))


def test_damaged_packets_are_undecodable_but_in_a_broadcast_they_are_noted():
    with pytest.raises(UndecodableError, match="damaged"):
        read(packet(), packet(corrupt=True))
    with pytest.raises(InvalidInputError, match="no frames"):
        read()
    with collect_notes() as notes:
        assert read(packet(), packet(corrupt=True), kind="MPEG-TS") == 2
    assert [found.code for found in notes] == [NoteCode.REPAIRED]


def times(packets: Sequence[Any], kind: str = "MP4") -> tuple[FrameTimes, list[NoteCode]]:
    stream: Any = Stream()
    with collect_notes() as notes:
        return frame_times.frame_times(packets, stream, kind), [found.code for found in notes]


def stamped(*stamps: int, keys: Sequence[int] = (0,)) -> list[Any]:
    return [packet(pts=stamp, dts=index, key=index in keys) for index, stamp in enumerate(stamps)]


def test_frames_are_shown_in_the_order_of_their_stamps():
    found, notes = times(stamped(0, 3, 1, 2))
    assert found.order.tolist() == [0, 2, 3, 1]
    assert found.times == pytest.approx([0, 0.1, 0.2, 0.3])
    assert found.end == pytest.approx(0.4)
    assert found.stamped
    assert notes == []


def test_frames_before_the_first_key_frame_are_left_out_with_a_note():
    found, notes = times(stamped(0, 1, 2, 3, keys=(2,)))
    assert found.times == pytest.approx([0.2, 0.3])
    assert notes == [NoteCode.DROPPED]


def test_frames_shown_before_the_first_key_frame_are_left_out_too():
    found, notes = times(stamped(2, 0, 1, 3))
    assert found.times == pytest.approx([0.2, 0.3])
    assert notes == [NoteCode.DROPPED]


def test_without_any_key_frame_everything_is_given_to_the_decoder():
    found, notes = times(stamped(0, 1, 2, keys=()))
    assert len(found.order) == 3
    assert notes == []


def test_frames_of_equal_or_missing_stamps_are_counted():
    for pts in (None, 7):
        found, _ = times([packet(pts=pts, dts=index * 2, key=index == 0) for index in range(4)])
        assert not found.stamped
        assert found.times == pytest.approx([0, 0.2, 0.4, 0.6])
    found, _ = times([packet(key=True), packet(), packet()])
    assert found.times == pytest.approx([0, 0.2, 0.4])  # five frames a second


def test_the_clock_of_a_broadcast_runs_on_where_it_jumps():
    packets = [packet(pts=p, dts=p, key=True) for p in (100, 101, 102, 900, 901, 5, 6)]
    found, notes = times(packets, "MPEG-TS")
    assert np.diff(found.times) == pytest.approx(np.full(6, 0.1))
    assert notes == [NoteCode.REPAIRED]


def evenly(stamps: Sequence[float], end: float, count: int) -> list[int]:
    shown = len(stamps)
    found = FrameTimes(
        packets=(),
        order=np.arange(shown),
        times=np.array(stamps, float),
        end=end,
        stamped=True,
        reordered=False,
        pixels=1,
    )
    return found.evenly(count).tolist()


def test_frames_of_a_constant_rate_are_those_in_the_middle_of_equal_parts():
    assert evenly([0, 1, 2, 3], 4, 2) == [1, 3]
    assert evenly([0, 1, 2, 3, 4, 5], 6, 2) == [1, 4]
    assert evenly([5], 6, 3) == [0, 0, 0]
    rounded = np.round(np.arange(40) / 24, 3)
    assert evenly(rounded.tolist(), 40 / 24, 8) == [2, 7, 12, 17, 22, 27, 32, 37]


def test_frames_of_a_varying_rate_are_those_shown_at_the_middles():
    assert evenly([0, 0.1, 0.2, 0.3, 2.0], 4, 4) == [3, 3, 4, 4]
    assert evenly([0, 9], 10, 5) == [0, 0, 0, 0, 1]


def test_a_last_frame_of_no_duration_lasts_as_long_as_others():
    packets = stamped(0, 2, 4)
    packets[-1].duration = 0
    assert times(packets)[0].end == pytest.approx(0.6)


def test_a_clip_whose_frames_are_all_hidden_shows_none():
    class Hidden:
        is_keyframe, is_discard, pts, dts, size = True, True, 0, 0, 10

    stream: Any = Stream()
    packets: Any = [Hidden()]
    with pytest.raises(InvalidInputError, match="no frames"):
        frame_times.frame_times(packets, stream, "MP4")


def test_frames_missing_from_what_the_index_names_are_truncated():
    data = clip(20, bf="0", g="1")
    with av.open(io.BytesIO(data)) as opened:
        stream = opened.streams.video[0]
        packets = list(opened.demux(stream))[:10]
        container: Any = Container(*packets)
        with pytest.raises(UndecodableError, match="truncated: 10 of 20"):
            frame_times.read_packets(container, stream, Limits(), "MP4", 10**6)
