from __future__ import annotations

import contextlib
import io
from typing import Any

import av
import numpy as np
import pytest
import soxr

from omnivec2.errors import InputError, InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.media.media_signatures import container_of
from omnivec2.preprocess.formats.sound.sound_reader import open_sound
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.clips import brighter, clip
from tests.support.sample_files.sounds import Waveform, encoded, tones, written

SOUND = tones()
LOSSY = 0.15
"""The largest error of a codec; sound that is misread is off by more than 0.5."""


def read(data: bytes, kind: str | None = None) -> tuple[Waveform, int, list[NoteCode]]:
    found = kind or container_of(data) or "none"
    found = "M4A" if found in ("MP4", "MOV") else found
    with collect_notes() as notes, open_sound(data, found) as sound:
        first = np.concatenate(list(sound.blocks()))
        again = np.concatenate(list(sound.blocks()))
        rate = sound.rate_hz
    assert len(first) == len(again)  # it can be read twice
    return first, rate, [remark.code for remark in notes]


def error(found: Waveform, wanted: Waveform = SOUND) -> float:
    """The error of the magnitudes of a spectrum: codecs delay sound a little."""
    spectra = [
        np.abs(np.fft.rfft(samples, 2 * len(wanted))).reshape(-1)[: 32 * (len(wanted) // 32)]
        for samples in (found.mean(axis=1)[: len(wanted) + 4_000], wanted)
    ]
    first, second = (np.sqrt(np.square(s).reshape(-1, 32).sum(axis=1)) for s in spectra)
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", subtype) for subtype in
          ("PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM",
           "MS_ADPCM")),
        *(("WAVEX", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW")),
        *((kind, subtype) for kind in ("RF64", "W64", "AIFF", "AU", "CAF")
          for subtype in ("PCM_16", "PCM_24", "FLOAT", "ALAW")),
        ("AIFF", "PCM_S8"), ("CAF", "ALAC_16"), ("CAF", "ALAC_24"), ("FLAC", "PCM_24"),
        ("FLAC", "PCM_S8"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
def test_what_libsndfile_writes_is_read(kind, subtype):
    found, rate, notes = read(written(SOUND, kind=kind, subtype=subtype))
    assert (rate, notes) == (16_000, [])
    assert error(found) < LOSSY


def test_big_endian_wavs_are_read():
    assert error(read(written(SOUND, endian="BIG"))[0]) < 1e-3


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [
        ("mp4", "aac", 16_000), ("ipod", "alac", 16_000), ("3gp", "aac", 16_000),
        ("mov", "pcm_s16le", 16_000), ("mov", "aac", 16_000), ("adts", "aac", 16_000),
        ("webm", "libopus", 16_000), ("matroska", "flac", 16_000), ("matroska", "aac", 16_000),
        ("ogg", "flac", 16_000), ("caf", "alac", 16_000), ("wav", "libmp3lame", 16_000),
        ("mp2", "mp2", 16_000), ("aiff", "pcm_s24be", 16_000), ("flac", "flac", 16_000),
        ("wav", "pcm_f32le", 16_000),
    ],
)  # fmt: skip
def test_what_ffmpeg_writes_is_read(kind, codec, rate):
    found, stated, notes = read(encoded(SOUND, kind, codec, rate))
    assert notes == []
    if codec == "libopus":  # always of 48,000 samples a second
        assert stated == 48_000
        found = soxr.resample(found, 3, 1)
    assert error(found) < LOSSY


def test_phone_calls_are_read():
    times = np.arange(8_000) / 8_000
    calls = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    found = read(written(calls, 8_000, "WAV", "GSM610"))[0]
    assert np.corrcoef(found[:, 0], calls)[0, 1] > 0.95
    amr = encoded(calls, "amr", "libopencore_amrnb", 8_000)
    assert len(read(amr)[0]) >= len(calls)


def test_codecs_that_cannot_be_read_are_named():
    for subtype in ("G721_32", "NMS_ADPCM_16"):
        with pytest.raises(UndecodableError, match=f"unsupported: WAV with codec {subtype}"):
            read(written(SOUND, subtype=subtype))
    data = bytearray(written(SOUND))
    data[20:22] = b"\x34\x12"
    with pytest.raises(UndecodableError, match="unsupported: a WAV with codec 0x1234; convert"):
        read(bytes(data))


def id3(length: int) -> bytes:
    sizes = [length >> shift & 0x7F for shift in (21, 14, 7, 0)]
    return b"ID3\x04\0\0" + bytes(sizes) + bytes(length)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("length", [100, 300_000])
def test_tags_in_front_change_nothing(kind, length):
    data = written(SOUND, kind=kind)
    np.testing.assert_array_equal(read(id3(length) + data)[0], read(data)[0])


def test_flac_of_unknown_length_is_read():
    data = bytearray(written(SOUND, kind="FLAC"))
    for length in (0, 2**36 - 1):
        packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | length
        data[18:26] = packed.to_bytes(8, "big")
        found, _, notes = read(bytes(data))
        assert len(found) == len(SOUND)
        assert error(found) < 1e-3
        assert notes == []


def test_an_mp3_that_starts_within_a_frame_is_read_from_the_next_to_its_end():
    data = written(SOUND, kind="MP3")
    assert len(read(bytes(300) + data)[0]) == len(SOUND)
    assert len(read(data[100:])[0]) > 0.9 * len(SOUND)


def test_joined_recordings_are_noted():
    for kind in ("MP3", "OGG", "WAV"):
        data = written(SOUND, kind=kind)
        assert read(data + data)[2] == [NoteCode.IGNORED]


def test_the_sound_of_a_video_is_read_and_its_pictures_are_noted():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        pictures = opened.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        sound = opened.add_stream("aac", rate=16_000, layout="mono")
        opened.mux(pictures.encode(av.VideoFrame.from_ndarray(brighter(3), format="rgb24")))
        opened.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(SOUND[None], "fltp", "mono")
        frame.sample_rate = 16_000
        for start in range(0, len(SOUND), 1024):
            part = np.ascontiguousarray(SOUND[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.pts = 16_000, start
            opened.mux(sound.encode(frame))
        opened.mux(sound.encode(None))
    found, _, notes = read(file.getvalue())
    assert notes == [NoteCode.IGNORED]
    assert error(found) < LOSSY
    with pytest.raises(InvalidInputError, match="holds no sound"):
        read(clip(3))


@pytest.mark.parametrize(
    ("kind", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("ogg", "flac"), ("flac", "flac")]
)
def test_files_that_are_cut_off_are_truncated_or_damaged(kind, codec):
    data = encoded(SOUND, kind, codec)
    for share in (0.3, 0.6, 0.97):
        with pytest.raises(UndecodableError, match=r"truncated|damaged"):
            read(data[: int(len(data) * share)], {"mp4": "M4A", "webm": "WebM"}.get(kind))


def test_streams_may_be_cut_anywhere():
    data = encoded(SOUND, "adts", "aac")
    found, _, notes = read(data[: len(data) // 2 + 3])
    assert 0.3 * len(SOUND) < len(found) < 0.7 * len(SOUND)
    assert set(notes) <= {NoteCode.REPAIRED}


def test_a_trimmed_m4a_is_what_a_player_plays():
    found, _, _ = read(encoded(SOUND, "mp4", "aac"))
    assert len(found) == len(SOUND)  # not the padding of the encoder


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("adts", "aac")])
def test_damaged_files_never_raise_anything_but_input_errors(kind, codec):
    data = encoded(SOUND, kind, codec)
    rng = np.random.default_rng(3)
    for _ in range(15):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 6):
            damaged[at] = int(rng.integers(256))
        name: Any = {"mp4": "M4A", "webm": "WebM", "adts": "AAC"}[kind]
        with contextlib.suppress(InputError), open_sound(bytes(damaged), name) as sound:
            for block in sound.blocks():
                assert block.ndim == 2
