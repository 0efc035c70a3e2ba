from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import pytest

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.media import video_frames
from omnivec2.preprocess.formats.media.frame_times import FrameTimes, frame_times, read_packets
from omnivec2.preprocess.formats.media.video_frames import Run
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.clips import STEP, clip


class Packet:
    def __init__(self, pts: int, *, key: bool) -> None:
        self.pts, self.is_keyframe = pts, key


def video(
    stamps: Sequence[int],
    keys: Sequence[int],
    *,
    stamped: bool = True,
    reordered: bool = False,
) -> FrameTimes:
    packets: Any = [Packet(stamp, key=index in keys) for index, stamp in enumerate(stamps)]
    return FrameTimes(
        packets=packets,
        order=np.argsort(stamps),
        times=np.sort(np.array(stamps, float)),
        end=max(stamps) + 1.0,
        stamped=stamped,
        reordered=reordered,
        pixels=1,
    )


CLOSED = video(range(8), keys=(0, 4))
OPEN = video([0, 1, 2, 3, 6, 4, 5, 7], keys=(0, 4))
"""The second key frame is followed by two frames that are shown before it."""


def test_decoding_starts_at_the_key_frame_before():
    assert video_frames.runs(CLOSED, [2, 5]) == [
        Run(0, 2, frozenset({2})),
        Run(4, 5, frozenset({5})),
    ]


def test_the_first_frames_of_an_open_group_need_the_group_before():
    assert video_frames.runs(OPEN, [4]) == [Run(0, 5, frozenset({4}))]
    assert video_frames.runs(OPEN, [6, 7]) == [Run(4, 7, frozenset({6, 7}))]
    assert video_frames.runs(OPEN, [4, 6]) == [Run(0, 5, frozenset({4, 6}))]


def test_frames_that_need_each_others_packets_are_decoded_in_one_run():
    assert video_frames.runs(CLOSED, [1, 3, 2]) == [Run(0, 3, frozenset({1, 2, 3}))]


def test_frames_without_stamps_that_are_reordered_are_counted_from_the_start():
    counted = video(range(8), keys=(0, 4), stamped=False, reordered=True)
    assert video_frames.runs(counted, [5]) == [Run(0, 5, frozenset({5}))]
    plain = video(range(8), keys=(0, 4), stamped=False)
    assert video_frames.runs(plain, [5]) == [Run(4, 5, frozenset({5}))]


def test_middles_are_chosen_where_decoding_them_is_affordable():
    assert video_frames.choose_frames(CLOSED, 2, "MP4").tolist() == [2, 6]


def test_key_frames_are_chosen_where_the_middles_take_too_much_decoding(monkeypatch):
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 4)
    with collect_notes() as notes:
        assert video_frames.choose_frames(CLOSED, 2, "MP4").tolist() == [0, 4]
    assert [found.code for found in notes] == [NoteCode.UNUSUAL]
    with pytest.raises(TooLargeError, match="few key frames"):
        video_frames.choose_frames(video(range(41), keys=(0, 40)), 8, "MP4")
    with pytest.raises(TooLargeError, match="few key frames"):
        video_frames.choose_frames(video(range(41), keys=()), 8, "MP4")


def decoded(data: bytes, wanted: Sequence[int], kind: str = "MP4") -> dict[int, float]:
    with av.open(io.BytesIO(data)) as opened:
        stream = opened.streams.video[0]
        packets = read_packets(opened, stream, Limits(), kind, 10**6)
        found = video_frames.decode(stream, frame_times(packets, stream, kind), wanted, kind)
        return {
            number: round(float(frame.to_ndarray(format="rgb24").mean()) / STEP)
            for number, frame in sorted(found.items())
        }


@pytest.mark.parametrize(
    "options",
    [
        {"g": "10"},
        {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"},
        {"x264-params": "intra-refresh=1:keyint=10"},
        {"bf": "0"},
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "mpegts", "matroska"])
def test_every_frame_can_be_decoded_on_its_own(kind, options):
    data = clip(40, kind, **options)
    for wanted in (0, 5, 8, 9, 10, 11, 19, 21, 38, 39):
        (found,) = decoded(data, [wanted], "MPEG-TS" if kind == "mpegts" else "MP4").values()
        assert abs(found - wanted) <= 0.5


def test_frames_larger_than_declared_stop_the_decoding(monkeypatch):
    data = clip(4, codec="mpeg4")
    assert list(decoded(data, range(4))) == [0, 1, 2, 3]
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 1_000)
    with pytest.raises(TooLargeError, match="more decoding"):
        decoded(data, range(4))


def corner(matrix: Sequence[int]) -> list[list[int]]:
    """Show a picture of the numbers 0 1 2 over 3 4 5."""
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    a, b, c, d = matrix
    return video_frames.display(pixels, (a, b, 0, c, d, 0, 0, 0, 1 << 30))[..., 0].tolist()


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]]),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]]),  # mirrored
        ((1, 0, 0, -1), [[3, 4, 5], [0, 1, 2]]),  # upside down, mirrored
        ((-1, 0, 0, -1), [[5, 4, 3], [2, 1, 0]]),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]]),  # turned clockwise
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]]),  # turned counter-clockwise
        ((0, 1, 1, 0), [[0, 3], [1, 4], [2, 5]]),
        ((0, -1, -1, 0), [[5, 2], [4, 1], [3, 0]]),
        ((0, 0, 0, 0), [[0, 1, 2], [3, 4, 5]]),
    ],
)
def test_all_matrices_of_right_angles_are_applied(matrix, shown):
    with collect_notes() as notes:
        assert corner([number * 65536 for number in matrix]) == shown
    assert len(notes) == 0


def test_a_matrix_of_another_angle_is_noted():
    with collect_notes() as notes:
        assert corner([64541, 11380, -11380, 64541]) == [[0, 1, 2], [3, 4, 5]]  # ten degrees
    assert [found.code for found in notes] == [NoteCode.IGNORED]
