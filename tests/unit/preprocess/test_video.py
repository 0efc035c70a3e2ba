from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.formats.media import video_frames
from omnivec2.preprocess.video import Clip, VideoParameters, VideoPreprocessor
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "video"
FILES = {
    "fight.mp4": "video/mp4",
    "fight.mov": "video/quicktime",
    "fight.webm": "video/webm",
    "fight.avi": "video/x-msvideo",
    "fight.gif": "image/gif",
}
STEP = 6
"""How much brighter each frame of a synthetic clip is than the one before."""


def video(limits: Limits | None = None, **parameters) -> VideoPreprocessor:
    return VideoPreprocessor(VideoParameters(**parameters), limits)


def encoded(
    frames: int, kind: str = "mp4", codec: str = "libx264", size=(32, 32), rate=10, **options
) -> bytes:
    """A clip whose frames become brighter by STEP."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as opened:
        stream = opened.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            pixels = np.full((size[1], size[0], 3), index * STEP % 256, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return file.getvalue()


def indices(data: bytes, **parameters) -> list[int]:
    """Which frames of a synthetic clip were chosen."""
    preprocessor = video(**parameters)
    frames = preprocessor.prepare(preprocessor.decode(data)).samples[0]["frames"]
    return [round(float(frame.mean()) / STEP) for frame in frames]


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = video()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        prepared = preprocessor.prepare(preprocessor.decode(data, declared))
        (sample,) = prepared.samples
        assert sample["frames"].shape == preprocessor.inputs[0].shape == (8, 96, 128, 3)
        assert sample["frames"].dtype == np.uint8
        assert prepared.context["size"] == ((56, 42) if name.endswith("gif") else (112, 84))


@pytest.mark.parametrize("name", FILES)
def test_all_formats_of_one_clip_give_nearly_the_same_frames(name):
    reference, found = (video().decode((DATA / n).read_bytes()) for n in ("fight.mp4", name))
    # The GIF holds every second frame, so that the nearest one is one off.
    most = 25 if name.endswith("gif") else 12
    assert np.abs(found.frames.astype(int) - reference.frames).mean() < most


@pytest.mark.parametrize(
    ("kind", "codec"),
    [("mp4", "libx264"), ("mov", "libx264"), ("webm", "libvpx-vp9"), ("matroska", "libx264"),
     ("avi", "mpeg4")],
)  # fmt: skip
def test_the_middle_of_every_segment_is_chosen_whatever_the_key_frames(kind, codec):
    expected = [2, 7, 12, 17, 22, 27, 32, 37]
    found = indices(encoded(40, kind, codec, g="9", b="4000000"))
    assert np.abs(np.array(found) - expected).max() <= 1  # brightness is not kept exactly


def test_a_short_clip_repeats_frames():
    assert indices(encoded(3), frames=6) == [0, 0, 1, 1, 2, 2]
    assert indices(encoded(1)) == [0] * 8


def test_frames_of_an_array_are_chosen_as_those_of_a_file():
    frames = np.repeat(np.arange(40, dtype=np.uint8), 32 * 32 * 3).reshape(40, 32, 32, 3) * STEP
    sample = video().prepare(frames).samples[0]["frames"]
    assert [round(float(f.mean()) / STEP) for f in sample] == [2, 7, 12, 17, 22, 27, 32, 37]
    listed = video().prepare(list(frames))
    assert np.array_equal(listed.samples[0]["frames"], sample)
    assert listed.context == {"size": (32, 32)}


def test_sixteen_frames_of_training_data_give_every_second_one():
    frames = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 84, 112, 3), np.uint8)
    sample = video().prepare(frames).samples[0]["frames"]
    assert sample[:, 0, 0, 0].tolist() == [1, 3, 5, 7, 9, 11, 13, 15]


def test_a_decoded_clip_is_already_of_the_networks_size():
    decoded = video().decode((DATA / "fight.mp4").read_bytes())
    assert isinstance(decoded, Clip)
    assert decoded.frames.shape == (8, 96, 128, 3)


def test_crop_keeps_proportions():
    frames = np.zeros((8, 32, 96, 3), dtype=np.uint8)
    frames[:, :, 32:64] = 255
    sample = video(height=32, width=32, resize="crop").prepare(frames).samples[0]["frames"]
    assert sample.min() == 255


def test_a_rotated_recording_is_turned_upright():
    data = bytearray(encoded(4, size=(64, 32)))
    at = data.find(b"tkhd") + 44  # the display matrix of a version 0 track header
    quarter_turn = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[at : at + 36] = quarter_turn
    assert video().decode(bytes(data)).size == (32, 64)


def test_only_needed_groups_are_decoded(monkeypatch):
    data = encoded(400, g="10", sc_threshold="0", bf="0", preset="ultrafast")
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 32 * 32 * 8 * 10)
    assert len(video().decode(data).frames) == 8


def test_key_frames_are_used_where_the_middles_take_too_much_decoding(monkeypatch):
    data = encoded(40, g="5", sc_threshold="0", bf="0")
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 32 * 32 * 9)
    assert indices(data) == [0, 5, 10, 15, 20, 25, 30, 35]


def test_a_clip_without_enough_key_frames_is_too_large_where_decoding_is_too_much(monkeypatch):
    data = encoded(40, g="1000", sc_threshold="0")
    monkeypatch.setattr(video_frames, "MAX_DECODED_PIXELS", 32 * 32 * 9)
    with pytest.raises(TooLargeError, match="few key frames"):
        video().decode(data)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_video_is_refused_as_undecodable(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises(UndecodableError):
        video().decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"", b"no video at all", bytes(500), b"GIF89a", b"\x1a\x45\xdf\xa3"]
)
def test_bytes_that_are_no_video_are_refused_as_undecodable(data):
    with pytest.raises(UndecodableError):
        video().decode(data)


def test_other_bytes_than_declared_are_refused_but_mp4_and_mov_are_one_family():
    data = (DATA / "fight.mp4").read_bytes()
    with pytest.raises(UndecodableError, match="declared as WebM, but the bytes are MP4"):
        video().decode(data, "video/webm")
    with pytest.raises(UnsupportedMediaTypeError):
        video().decode(data, "image/png")
    assert len(video().decode(data, "video/quicktime").frames) == 8


def test_a_playlist_is_never_followed():
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n"
    for declared in (None, "video/mp4"):
        with pytest.raises(UndecodableError):
            video().decode(playlist, declared)


def test_sound_without_pictures_is_invalid():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        stream = opened.add_stream("aac", rate=16_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16_000
        opened.mux(stream.encode(sound))
        opened.mux(stream.encode(None))
    with pytest.raises(InvalidInputError, match="holds no video"):
        video().decode(file.getvalue())


def test_a_gif_of_thousands_of_frames_is_refused_and_names_the_limit():
    pictures = [Image.fromarray(np.full((4, 4), i % 2 * 255, np.uint8)) for i in range(1_200)]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=20)
    with pytest.raises(TooLargeError, match=r"limit \(frames\) of 1,000"):
        video(Limits(frames=1_000)).decode(file.getvalue())


def test_too_many_frames_too_many_seconds_and_too_many_pixels_name_their_limits():
    data = encoded(40)
    with pytest.raises(TooLargeError, match=r"\(frames\) of 39"):
        video(Limits(frames=39)).decode(data)
    with pytest.raises(TooLargeError, match=r"4.0 seconds; the limit \(seconds\) is 3"):
        video(Limits(seconds=3)).decode(data)
    with pytest.raises(TooLargeError, match=r"32 x 32 pixels; the limit \(pixels\) is 1,000"):
        video(Limits(pixels=1_000)).decode(data)
    unheaded = encoded(40, "webm", "libvpx-vp9")
    with pytest.raises(TooLargeError, match=r"\(frames\) of 39"):
        video(Limits(frames=39)).decode(unheaded)


def test_a_gif_that_claims_a_huge_screen_is_refused_by_its_header():
    data = b"GIF89a\xff\xff\xff\xff" + (DATA / "fight.gif").read_bytes()[10:]
    with pytest.raises(TooLargeError, match="65,535 x 65,535"):
        video().decode(data)


@pytest.mark.parametrize("count", [600_000, 0xFFFFFFFF])
def test_an_mp4_whose_tables_claim_millions_of_samples_is_refused_before_they_are_built(count):
    data = bytearray((DATA / "fight.mp4").read_bytes())
    at = data.find(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, count)
    with pytest.raises(TooLargeError, match="samples"):
        video().decode(bytes(data))


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((4, 8, 8), np.uint8),
        np.zeros((4, 8, 8, 3), np.float32),
        [],
    ],
)
def test_arrays_that_are_no_frames_are_invalid(frames):
    with pytest.raises(InvalidInputError):
        video().prepare(frames)


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = video()
    for _ in range(15):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, len(data), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.VIDEO) is VideoPreprocessor
