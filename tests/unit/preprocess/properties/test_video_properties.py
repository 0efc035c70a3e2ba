"""The same video gives the same frames, however it is stored; another one does not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from omnivec2.errors import InputError
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.video import VideoParameters, VideoPreprocessor
from tests.support.sample_files.clips import Picture, clip, with_edits, with_matrix

PREPROCESSOR = VideoPreprocessor(VideoParameters(height=48, width=64))
FRAMES = 32
CODECS = 6.0
"""The largest mean error of a level, of 256, that is left by codecs."""


def pictures(seed: int) -> list[Picture]:
    """A bright square that wanders over a gradient, and both change."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :64]
    start, step = rng.uniform(5, 20, 2), rng.uniform(0.3, 0.9, 2)
    tint = rng.uniform(0.4, 1, 3)
    frames = []
    for index in range(FRAMES):
        at = start + index * step
        square = 150 * ((abs(y - at[0]) < 7) & (abs(x - at[1]) < 7))
        frame = (x + y)[..., None] * tint * (0.3 + index / FRAMES) + square[..., None]
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def frames_of(data: bytes) -> np.ndarray:
    return PREPROCESSOR.prepare(PREPROCESSOR.decode(data)).samples[0]["frames"].astype(float)


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).mean(axis=(1, 2, 3)).max())


def plain(shown: Sequence[Picture]) -> np.ndarray:
    return PREPROCESSOR.prepare(list(shown)).samples[0]["frames"].astype(float)


def turned(turns: int, mirrored: bool, matrix: Sequence[int]) -> Callable[[list[Picture]], bytes]:
    """Store pictures so that the matrix shows them as they were."""

    def store(shown: list[Picture]) -> bytes:
        stored = [np.rot90(frame[:, ::-1] if mirrored else frame, turns) for frame in shown]
        return with_matrix(clip([np.ascontiguousarray(frame) for frame in stored]), matrix)

    return store


def at_times(kind: str, codec: str) -> Callable[[list[Picture]], bytes]:
    """Store a video of a constant rate whose even frames are repeated, at a varying rate."""

    def store(shown: list[Picture]) -> bytes:
        times = [index * 100 for index in range(len(shown))]
        shaken = [at + (index * 37) % 20 for index, at in enumerate(times)]
        return clip(shown, kind, codec, times_ms=shaken, rate=100)

    return store


def stored(kind: str, codec: str, **options: str) -> Callable[[list[Picture]], bytes]:
    rate = 25 if codec.startswith("mpeg2") else 10
    return lambda shown: clip(shown, kind, codec, rate=rate, **options)


def trimmed(shown: list[Picture]) -> bytes:
    around = [*shown[:10][::-1], *shown, *shown[:6]]
    return with_edits(clip(around, g="12"), [(len(shown), 10)])


def delayed(shown: list[Picture]) -> bytes:
    return with_edits(clip(shown), [(15, None), (len(shown), 0)])


def padded(shown: list[Picture]) -> bytes:
    return clip(shown) + b"\n\0\0"


def box_in_front(shown: list[Picture]) -> bytes:
    data = clip(shown, muxing={"movflags": "frag_keyframe+empty_moov"}, g="8")
    return data + struct.pack(">I4s", 16, b"free") + bytes(8)


def false_keys(codec: str) -> Callable[[list[Picture]], bytes]:
    """Store a video that does not say which frames are key frames: then all are."""
    return lambda shown: clip(shown, codec=codec, g="1000", b="4000000").replace(b"stss", b"free")


OPEN = "open-gop=1:keyint=8:bframes=3:scenecut=0"
SAME: dict[str, Callable[[list[Picture]], bytes]] = {
    "MOV": stored("mov", "libx264"),
    "Matroska": stored("matroska", "libx264"),
    "WebM": stored("webm", "libvpx-vp9", b="4000000"),
    "VP8": stored("webm", "libvpx", b="4000000"),
    "AVI": stored("avi", "mpeg4", b="4000000"),
    "AVI of reordered frames": stored("avi", "libx264", bf="2"),
    "Motion JPEG": stored("avi", "mjpeg", qscale="2"),
    "MPEG-TS": stored("mpegts", "libx264"),
    "MPEG-PS": stored("mpeg", "mpeg2video", bf="2", b="4000000"),
    "HEVC": stored("mp4", "libx265", **{"x265-params": "log-level=none:crf=18"}),
    "open groups": stored("mp4", "libx264", **{"x264-params": OPEN}),
    "open groups, broadcast": stored("mpegts", "libx264", **{"x264-params": OPEN}),
    "key frames only": stored("mp4", "libx264", g="1"),
    "one key frame": stored("mp4", "libx264", g="1000", bf="0"),
    "false key frames": false_keys("libx264"),
    "false key frames, MPEG-4": false_keys("mpeg4"),
    "trimmed": trimmed,
    "delayed": delayed,
    "empty space behind": padded,
    "fragments": box_in_front,
    "a shaky clock": at_times("matroska", "libx264"),
    "a shaky clock in MP4": at_times("mp4", "libx264"),
    "a quarter turn": turned(1, False, (0, 1, -1, 0)),
    "a quarter turn back": turned(-1, False, (0, -1, 1, 0)),
    "upside down": turned(2, False, (-1, 0, 0, -1)),
    "mirrored": turned(0, True, (-1, 0, 0, 1)),
    "mirrored upside down": turned(2, True, (1, 0, 0, -1)),
    "transposed": turned(1, True, (0, 1, 1, 0)),
    "transposed the other way": turned(-1, True, (0, -1, -1, 0)),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SAME)
def test_a_video_is_the_same_however_it_is_stored(name, seed):
    shown = pictures(seed)
    with collect_notes() as notes:
        assert distance(frames_of(SAME[name](shown)), plain(shown)) < CODECS
    assert len(notes) == 0


@pytest.mark.parametrize("seed", range(3))
def test_another_video_is_another(seed):
    shown = pictures(seed)
    wanted = plain(shown)
    for changed in (
        pictures(seed + 10),
        shown[::-1],
        shown[: FRAMES // 2],
        [np.ascontiguousarray(frame[:, ::-1]) for frame in shown],
        [255 - frame for frame in shown],
    ):
        assert distance(frames_of(clip(changed)), wanted) > CODECS


def test_the_time_for_which_a_frame_is_shown_matters():
    shown = pictures(0)
    late = [0, *range(3_000, 3_000 + 10 * FRAMES, 10)][:FRAMES]
    found = frames_of(clip(shown, times_ms=late, rate=100))
    assert distance(found, np.stack([plain(shown[:1])[0]] * 7 + [found[7]])) < CODECS


@pytest.mark.parametrize("seed", range(2))
def test_what_is_lost_or_guessed_is_noted(seed):
    shown = pictures(seed)
    grey = [np.full_like(shown[0], 90)] * 8
    for data, code in (
        (clip(shown) + b"log of a camera", NoteCode.IGNORED),
        (clip(grey), NoteCode.EMPTY),
        (clip(shown, "mpegts") * 2, NoteCode.REPAIRED),
        (clip(shown, "mpegts", g="8")[188 * 12 :], NoteCode.DROPPED),
        (with_edits(clip(shown), [(8, 0)], speed=2), NoteCode.IGNORED),
        (with_matrix(clip(shown), (1, 0.2, -0.2, 1)), NoteCode.IGNORED),
    ):
        with collect_notes() as notes:
            frames_of(data)
        assert code in [remark.code for remark in notes]


@pytest.mark.parametrize("kind", ["mp4", "avi", "webm"])
def test_half_a_file_is_no_video(kind):
    codec = {"mp4": "libx264", "avi": "mpeg4", "webm": "libvpx-vp9"}[kind]
    data = clip(pictures(0), kind, codec)
    with pytest.raises(InputError):
        frames_of(data[: len(data) // 2])
