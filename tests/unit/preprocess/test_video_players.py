"""Frames are those that a player would show: edit lists, open groups, matrices, broadcasts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.video import VideoParameters, VideoPreprocessor
from omnivec2.spec import Limits
from tests.support.sample_files.clips import STEP, brighter, clip, with_edits, with_matrix

MIDDLES = [2, 7, 12, 17, 22, 27, 32, 37]
"""The frames of a clip of 40 that are shown in the middles of eight equal parts."""

OPEN_GROUPS = {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}


def shown(data: bytes, limits: Limits | None = None) -> tuple[list[float], list[NoteCode]]:
    """Which frames of a synthetic clip are chosen, and the notes."""
    preprocessor = VideoPreprocessor(VideoParameters(), limits)
    with collect_notes() as notes:
        frames = preprocessor.prepare(preprocessor.decode(data)).samples[0]["frames"]
    found = [float(frame.mean()) / STEP for frame in frames]
    codes: list[NoteCode] = [n.code for n in notes if n.code is not NoteCode.EMPTY]
    return found, codes


def about(frames: Sequence[float]) -> object:
    """Frames but for one more or less, as brightness is not kept exactly."""
    return pytest.approx(frames, abs=1)


@pytest.mark.parametrize("options", [{}, {"bf": "0"}, {"g": "10"}, OPEN_GROUPS])
@pytest.mark.parametrize(
    ("edits", "frames"),
    [
        ([(24, 8)], [9, 12, 15, 18, 21, 24, 27, 30]),  # the middle
        ([(16, 0)], [1, 3, 5, 7, 9, 11, 13, 15]),  # the end is cut off
        ([(16, 24)], [25, 27, 29, 31, 33, 35, 37, 39]),  # the start is cut off
        ([(8, 0), (8, 24)], [1, 3, 5, 7, 25, 27, 29, 31]),  # the middle is cut out
        ([(8, 24), (8, 0)], [25, 27, 29, 31, 1, 3, 5, 7]),  # the parts are swapped
        ([(8, 8), (8, 8)], [9, 11, 13, 15, 9, 11, 13, 15]),  # one part twice
        ([(10, None), (40, 0)], MIDDLES),  # a delay in front
        ([(10, None), (16, 16)], [17, 19, 21, 23, 25, 27, 29, 31]),
    ],
)
def test_an_edit_list_decides_what_is_shown(options, edits, frames):
    assert shown(with_edits(clip(40, **options), edits)) == (about(frames), [])


def test_the_limits_count_what_is_shown_of_a_long_recording():
    trimmed = with_edits(clip(40, g="10", sc_threshold="0"), [(16, 8)])
    assert shown(trimmed, Limits(seconds=2, frames=39))[0] == about(range(9, 25, 2))
    with pytest.raises(TooLargeError, match=r"lasts 4.0 seconds; the limit \(seconds\) is 2"):
        shown(clip(40), Limits(seconds=2))


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mp4", "libx264", OPEN_GROUPS),
        ("mov", "libx265", {"x265-params": "open-gop=1:keyint=10:log-level=none"}),
        ("matroska", "libx264", OPEN_GROUPS),
        ("mpegts", "libx264", OPEN_GROUPS),
        ("mpegts", "libx265", {"x265-params": "keyint=10:log-level=none"}),
        ("mpegts", "mpeg2video", {"bf": "2", "g": "12"}),
        ("mpeg", "mpeg2video", {"bf": "2", "g": "12"}),
        ("avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("avi", "libx264", {"bf": "2"}),
        ("avi", "mjpeg", {}),
        ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=10"}),
    ],
)
def test_groups_of_pictures_of_all_kinds_give_the_frames_of_the_times(kind, codec, options):
    rate = 25 if codec == "mpeg2video" else 10
    found, notes = shown(clip(40, kind, codec, rate=rate, **options))
    assert (found, notes) == (about(MIDDLES), [])


FAST_THEN_SLOW = [*range(0, 300, 10), *range(300, 3000, 270)]


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "libx264"), ("matroska", "libx264"), ("webm", "libvpx-vp9"), ("mpegts", "libx264"),
     ("avi", "mjpeg")],
)  # fmt: skip
@pytest.mark.parametrize("delay", [0, 2000])
def test_frames_of_a_varying_rate_are_chosen_by_time(kind, codec, delay):
    if kind == "avi" and delay:
        pytest.skip("an AVI has no start")
    times = [at + delay for at in FAST_THEN_SLOW]
    found, notes = shown(clip(len(times), kind, codec, rate=100, times_ms=times))
    assert (found, notes) == (about([17.5, 30, 32, 33, 34.5, 35.5, 37, 38.5]), [])


def test_the_last_frame_of_a_gif_may_be_the_longest():
    from PIL import Image

    pictures = [Image.fromarray(brighter(index)) for index in range(4)]
    file = io.BytesIO()
    pictures[0].save(
        file, "GIF", save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 700]
    )
    found, _ = shown(file.getvalue())
    assert [round(index) for index in found] == [0, 1, 3, 3, 3, 3, 3, 3]


MATRICES = [
    (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
    (0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip


@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_turned_and_mirrored_as_the_container_says(matrix):
    a, b, c, d = matrix
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :16] = 255  # the corner at the origin
    data = with_matrix(clip([stored] * 4), matrix)
    decoded = VideoPreprocessor(VideoParameters(height=64, width=64)).decode(data)
    assert decoded.size == ((64, 32) if a or d else (32, 64))
    bright = np.argwhere(decoded.frames[0].mean(axis=2) > 128).mean(axis=0) < 32
    assert bright.tolist() == [b + d > 0, a + c > 0]  # in the upper half, in the left half


def test_a_recording_cut_between_key_frames_starts_with_the_first_one():
    with av.open(io.BytesIO(clip(40, "matroska", g="10", sc_threshold="0"))) as opened:
        stream = opened.streams.video[0]
        file = io.BytesIO()
        with av.open(file, "w", format="matroska") as cut:
            copy = cut.add_stream_from_template(stream)
            for packet in [p for p in opened.demux(stream) if p.size][14:]:
                packet.stream = copy
                cut.mux(packet)
    found, notes = shown(file.getvalue())
    assert notes == [NoteCode.DROPPED]
    assert found == about([21, 23, 26, 28, 31, 33, 36, 38])


@pytest.mark.parametrize("packets", [0, 7, 20.4, 25])
def test_a_broadcast_may_start_anywhere(packets):
    data = clip(40, "mpegts", **OPEN_GROUPS)
    found, notes = shown(data[int(packets * 188) :])
    assert found[-1] >= 36
    assert notes == ([] if packets == 0 else [NoteCode.DROPPED])


def test_a_broadcast_that_is_spliced_runs_on():
    found, notes = shown(clip(20, "mpegts") + clip(20, "mpegts"))
    assert NoteCode.REPAIRED in notes
    assert found == about([2, 7, 12, 17] * 2)


def test_packets_of_camcorders_carry_a_time_stamp_each():
    data = clip(40, "mpegts", muxing={"mpegts_m2ts_mode": "1"})
    assert VideoPreprocessor(VideoParameters()).sniff(data) == "video/mp2t"
    assert shown(data) == (about(MIDDLES), [])


def two_tracks(first_default: bool) -> bytes:
    """A file of a dark and of a bright track, of which one is the default."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as opened:
        streams = [opened.add_stream("mpeg4", rate=10) for _ in range(2)]
        for stream, default in zip(streams, (first_default, not first_default), strict=True):
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            stream.disposition = av.stream.Disposition(1 if default else 0)
        for stream, start in zip(streams, (0, 20), strict=True):
            for index in range(8):
                frame = av.VideoFrame.from_ndarray(brighter(start + index), format="rgb24")
                opened.mux(stream.encode(frame))
            opened.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("first_default", [True, False])
def test_the_default_track_is_shown_and_the_other_noted(first_default):
    found, notes = shown(two_tracks(first_default))
    assert notes == [NoteCode.IGNORED]
    assert found[0] == pytest.approx(0 if first_default else 20, abs=1)


def test_a_song_with_a_cover_is_no_video():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        sound = opened.add_stream("aac", rate=16_000, layout="mono")
        cover = opened.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        opened.mux(cover.encode(av.VideoFrame.from_ndarray(brighter(9), format="rgb24")))
        opened.mux(cover.encode(None))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        tone.sample_rate = 16_000
        opened.mux(sound.encode(tone))
        opened.mux(sound.encode(None))
    with pytest.raises(InvalidInputError, match="no video but a cover picture"):
        shown(file.getvalue())


@pytest.mark.parametrize("kind", ["mp4", "mov", "webm", "avi", "gif"])
@pytest.mark.parametrize(("behind", "noted"), [(b"\n", False), (b"lat=47.1 lon=8.2\n", True)])
def test_bytes_behind_the_end_change_nothing(kind, behind, noted):
    data = (Path(__file__).parents[2] / "data" / "video" / f"fight.{kind}").read_bytes()
    preprocessor = VideoPreprocessor(VideoParameters())
    with collect_notes() as notes:
        found = preprocessor.decode(data + behind)
    np.testing.assert_array_equal(found.frames, preprocessor.decode(data).frames)
    assert [remark.code for remark in notes] == [NoteCode.IGNORED] * noted


def test_a_fragment_that_is_cut_off_is_truncated():
    data = clip(40, g="10", sc_threshold="0", muxing={"movflags": "frag_keyframe+empty_moov"})
    assert shown(data) == (about(MIDDLES), [])
    last = data.rfind(b"mdat")
    for length in (last - 20, last + 50, len(data) // 2):
        with pytest.raises(UndecodableError, match=r"truncated|damaged"):
            shown(data[:length])


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
def test_a_high_dynamic_range_is_noted(transfer):
    assert shown(clip(8, **{"x264-params": f"transfer={transfer}"}))[1] == [NoteCode.UNUSUAL]
    assert shown(clip(8, **{"x264-params": "transfer=bt709"}))[1] == []


def test_a_video_of_one_even_colour_is_noted_as_empty():
    preprocessor = VideoPreprocessor(VideoParameters())
    for pictures, empty in (([brighter(5)] * 4, True), ([brighter(5), brighter(25)], False)):
        with collect_notes() as notes:
            preprocessor.prepare(preprocessor.decode(clip(pictures)))
        assert [remark.code for remark in notes] == [NoteCode.EMPTY] * empty


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"FLV\x01\x05\0\0\0\x09", "Flash"),
        (b"OggS\0\2", "OGG"),
        (b"RIFF\0\0\0\0WAVE", "WAV"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
        (b"RIFF\0\0\0\0WEBP", "WebP"),
    ],
)
def test_what_is_no_video_that_is_read_is_named_with_a_way_out(data, what):
    with pytest.raises(UndecodableError, match=rf"unsupported: {what}.*convert it with ffmpeg"):
        shown(data)
