from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media import recording_pieces
from omnivec2.preprocess.formats.media.recording_pieces import PieceLimits, cut_sound, cut_video
from omnivec2.preprocess.video import PREPROCESSOR, VideoParameters
from tests.support.sample_files.clips import clip
from tests.support.sample_files.sounds import tones, written

LIMITS = PieceLimits(seconds=60, piece_seconds=4, piece_bytes=2**25)


def saved(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(data)
    (tmp_path / "pieces").mkdir(exist_ok=True)
    return path


def cut(cutter, tmp_path: Path, data: bytes, limits: PieceLimits = LIMITS):
    return list(cutter(saved(tmp_path, data), tmp_path / "pieces", limits))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
def test_the_pieces_of_a_sound_are_all_of_it(tmp_path: Path, kind: str) -> None:
    waveform = np.column_stack([tones(10.5, 22_050, seed) for seed in (1, 2)])
    pieces = cut(cut_sound, tmp_path, written(waveform, 22_050, kind))
    read = [soundfile.read(piece.path, dtype="float32") for piece in pieces]
    assert all(rate == 22_050 for _, rate in read)
    lengths = [len(samples) / 22_050 for samples, _ in read]
    assert lengths == pytest.approx([4, 4, 2.5], abs=0.2)
    np.testing.assert_allclose(np.concatenate([s for s, _ in read]), waveform, atol=1e-4)
    assert [piece.total for piece in pieces] == [3, 3, 3]


def test_a_short_rest_belongs_to_the_last_piece(tmp_path: Path) -> None:
    pieces = cut(cut_sound, tmp_path, written(tones(8.4)))
    assert [round(soundfile.info(piece.path).duration) for piece in pieces] == [4, 4]
    assert pieces[0].total == 2


def test_the_pieces_of_a_sound_of_many_channels_are_shorter(tmp_path: Path) -> None:
    waveform = np.column_stack([tones(6)] * 8)
    limits = PieceLimits(60, 4, piece_bytes=2**20)
    for piece in cut(cut_sound, tmp_path, written(waveform), limits):
        # One second at the end of the last piece may be more.
        assert piece.path.stat().st_size <= 2**20 + 4 * 8 * 16_000


def test_a_mp3_of_unknown_length_is_cut(tmp_path: Path) -> None:
    data = written(tones(9), 16_000, "MP3")
    pieces = cut(cut_sound, tmp_path, data)
    assert sum(soundfile.info(piece.path).duration for piece in pieces) == pytest.approx(9, abs=0.3)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"nonsense", UndecodableError, "not a recording of sound"),
        (b"", UndecodableError, "not a recording of sound"),
        (written(tones(1))[:60], InputError, "no samples|damaged|truncated"),
        (written(tones(9), kind="FLAC")[:-20_000], InputError, "truncated|damaged"),
        (clip(4), InvalidInputError, "holds no sound"),
    ],
)
def test_what_is_no_sound_is_refused(
    tmp_path: Path, data: bytes, error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        cut(cut_sound, tmp_path, data)


def test_a_sound_that_is_too_long_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TooLargeError, match="lasts longer than 3 seconds"):
        cut(cut_sound, tmp_path, written(tones(5)), PieceLimits(3, 2, 2**25))
    assert not list((tmp_path / "pieces").iterdir())
    # A header may state no length: then it is counted.
    monkeypatch.setattr(recording_pieces, "_pieces_stated", lambda *_: 0)
    with pytest.raises(TooLargeError, match="lasts longer than 3 seconds"):
        cut(cut_sound, tmp_path, written(tones(5)), PieceLimits(3, 2, 2**25))


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "libx264"), ("webm", "libvpx"), ("matroska", "mpeg4"), ("mpegts", "mpeg2video")],
)
def test_the_pieces_of_a_video_begin_at_key_frames(tmp_path: Path, kind: str, codec: str) -> None:
    pictures = [np.full((32, 32, 3), 20 + 2 * index, np.uint8) for index in range(100)]
    data = clip(pictures, kind, codec, rate=10, g="10")
    pieces = cut(cut_video, tmp_path, data)
    assert len(pieces) == 3, "of 4, 4 and 2 seconds"
    preprocessor = PREPROCESSOR(VideoParameters(frames=2, height=32, width=32))
    before = 0
    for piece in pieces:
        count = frames_in(piece.path)
        shown = preprocessor.decode(piece.path.read_bytes()).frames[:, 16, 16, 0]
        expected = [20 + 2 * (before + count * share) for share in (0.25, 0.75)]
        assert list(shown) == pytest.approx(expected, abs=8)
        before += count
    assert before == 100


def frames_in(path: Path) -> int:
    with av.open(str(path)) as opened:
        return sum(packet.size > 0 for packet in opened.demux(video=0))


def test_a_video_of_large_frames_has_shorter_pieces(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(40)]
    data = clip(noise, g="5", qp="4")
    pieces = cut(cut_video, tmp_path, data, PieceLimits(60, 10, len(data) // 2))
    assert len(pieces) > 3
    assert all(piece.path.stat().st_size < len(data) // 2 for piece in pieces)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"nonsense", UndecodableError, "not a video"),
        (b"GIF89a" + bytes(100), UndecodableError, "not a video that can be cut"),
        (written(tones(1)), InvalidInputError, "holds no video"),
        (clip(40)[:-2000], InputError, "damaged|truncated|not a readable|cannot"),
    ],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, data: bytes, error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        cut(cut_video, tmp_path, data)


def test_a_video_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="lasts longer than 2 seconds"):
        cut(cut_video, tmp_path, clip(60), PieceLimits(2, 2, 2**25))
