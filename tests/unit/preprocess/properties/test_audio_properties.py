"""The same sound gives the same filter banks, however it is stored; another one does not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soxr

from omnivec2.preprocess.audio import Audio, AudioOptions, AudioParameters, AudioPreprocessor
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.source_options import state
from tests.support.sample_files.sounds import Waveform, encoded, tones, written

PREPROCESSOR = AudioPreprocessor(AudioParameters(frames=128))
EXACT, FINE, LOSSY = 0.02, 0.6, 2.5
"""Mean errors of the logarithms of energies that can be heard: of storage, rounding, codecs."""


def banks(native: Audio) -> np.ndarray:
    return np.stack([sample["fbank"] for sample in PREPROCESSOR.prepare(native).samples])


def of_file(data: bytes) -> np.ndarray:
    return banks(PREPROCESSOR.decode(data))


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The mean error over the bins that hold most of the sound."""
    if found.shape != wanted.shape:
        return np.inf
    loud = wanted > np.quantile(wanted, 0.9)
    return float(np.abs(found - wanted)[loud].mean())


def with_sizes(sizes: int) -> Callable[[Waveform], bytes]:
    def streamed(sound: Waveform) -> bytes:
        data = bytearray(written(sound))
        struct.pack_into("<I", data, 4, min(sizes + 36, 2**32 - 1))
        struct.pack_into("<I", data, 40, sizes)
        return bytes(data)

    return streamed


def with_chunks(sound: Waveform) -> bytes:
    data = written(sound)
    tags = b"LIST" + struct.pack("<I", 9) + b"INFO12345\0"
    body = data[12:36] + tags + data[36:] + tags
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def at_rate(rate: int) -> Callable[[Waveform], bytes]:
    return lambda sound: written(soxr.resample(sound, 16_000, rate), rate)


def integers_as_floats(sound: Waveform) -> bytes:
    return written(np.round(sound * 32_768), subtype="FLOAT")


def two_sides(right: float) -> Callable[[Waveform], bytes]:
    return lambda sound: written(np.stack([sound, right * sound], axis=1))


SAME: dict[str, tuple[Callable[[Waveform], bytes], float]] = {
    "24 bits": (lambda sound: written(sound, subtype="PCM_24"), EXACT),
    "float": (lambda sound: written(sound, subtype="FLOAT"), EXACT),
    "double, extensible": (lambda sound: written(sound, kind="WAVEX", subtype="DOUBLE"), EXACT),
    "big endian": (lambda sound: written(sound, endian="BIG"), EXACT),
    "integers saved as floats": (integers_as_floats, EXACT),
    "FLAC": (lambda sound: written(sound, kind="FLAC"), EXACT),
    "FLAC in Ogg": (lambda sound: encoded(sound, "ogg", "flac"), EXACT),
    "FLAC in Matroska": (lambda sound: encoded(sound, "matroska", "flac"), EXACT),
    "ALAC in M4A": (lambda sound: encoded(sound, "ipod", "alac"), EXACT),
    "AIFF": (lambda sound: written(sound, kind="AIFF"), EXACT),
    "AU": (lambda sound: written(sound, kind="AU"), EXACT),
    "CAF": (lambda sound: written(sound, kind="CAF"), EXACT),
    "W64": (lambda sound: written(sound, kind="W64"), EXACT),
    "RF64": (lambda sound: written(sound, kind="RF64"), EXACT),
    "chunks around": (with_chunks, EXACT),
    "ffmpeg's pipe": (with_sizes(0xFFFFFFFF), EXACT),
    "SoX's pipe": (with_sizes(0x7FFFF000), EXACT),
    "no sizes": (with_sizes(0), EXACT),
    "text behind": (lambda sound: written(sound) + b"recorded by hand\n", EXACT),
    "two equal sides": (two_sides(1.0), EXACT),
    "two opposite sides": (two_sides(-1.0), EXACT),
    "A-law": (lambda sound: written(sound, subtype="ALAW"), FINE),
    "mu-law": (lambda sound: written(sound, subtype="ULAW"), FINE),
    "8 bits": (lambda sound: written(sound, subtype="PCM_U8"), FINE),
    "44,100 a second": (at_rate(44_100), FINE),
    "48,000 a second": (at_rate(48_000), FINE),
    "Vorbis": (lambda sound: written(sound, kind="OGG"), FINE),
    "MP3": (lambda sound: written(sound, kind="MP3"), FINE),
    "AAC": (lambda sound: encoded(sound, "mp4", "aac"), LOSSY),
    "Opus in WebM": (lambda sound: encoded(sound, "webm", "libopus"), LOSSY),
    "Opus in Ogg": (lambda sound: written(sound, kind="OGG", subtype="OPUS"), LOSSY),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SAME)
def test_a_sound_is_the_same_however_it_is_stored(name, seed):
    store, tolerance = SAME[name]
    sound = tones(1.0 + 0.3 * seed, seed=seed)
    wanted = banks(Audio(sound, 16_000))
    assert distance(of_file(store(sound)), wanted) < tolerance


@pytest.mark.parametrize("kind", ["webm", "ogg"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_opus_starts_with_the_sound_and_not_with_its_encoder_s_delay(kind, rate):
    sound = np.zeros(rate, np.float32)
    sound[rate // 4 : rate // 4 + rate // 100] = 0.8
    waveform, rate_hz = PREPROCESSOR.decode(encoded(sound, kind, "libopus", rate))
    found = np.abs(waveform.reshape(len(waveform), -1)[:, 0])
    start = np.flatnonzero(found > 0.4 * found.max())[0] / rate_hz
    assert start == pytest.approx(0.25, abs=0.0015)


@pytest.mark.parametrize("seed", range(5))
def test_samples_in_json_are_those_of_a_file(seed):
    sound = tones(seed=seed)
    whole = np.round(sound * 32_767).astype(int).tolist()
    forms: list[Any] = [
        {"array": sound.tolist(), "sampling_rate": 16_000},
        {"samples": whole, "sample_rate": 16_000},
        {"waveform": [sound.tolist(), sound.tolist()], "sr": 16_000},
        sound.tolist(),
    ]
    for form in forms:
        assert distance(banks(PREPROCESSOR.decode_json(form)), banks(Audio(sound, 16_000))) < EXACT


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_is_stated_is_that_of_the_sound(seed):
    sound = tones(seed=seed)
    for stated in (8_000, 16_000, 44_100):
        slow = written(sound, 11_025)
        with state(AudioOptions(sample_rate=stated)):
            found = of_file(slow)
        assert distance(found, banks(Audio(sound, stated))) < EXACT


@pytest.mark.parametrize("seed", range(10))
def test_another_sound_is_another(seed):
    sound = tones(seed=seed)
    wanted = banks(Audio(sound, 16_000))
    for changed in (tones(seed=seed + 100), sound[::-1], sound * 4, np.roll(sound, 8_000)):
        assert distance(of_file(written(np.ascontiguousarray(changed))), wanted) > FINE


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda sound: written(sound * 0), NoteCode.EMPTY),
        (lambda sound: written(soxr.resample(sound, 16_000, 8_000), 8_000), NoteCode.RESAMPLED),
        (integers_as_floats, NoteCode.GUESSED),
        (two_sides(-1.0), NoteCode.REPAIRED),
        (with_sizes(0), NoteCode.REPAIRED),
        (lambda sound: written(np.tile(sound, 20)), NoteCode.CUT),
        (lambda sound: written(sound) + b"recorded by hand", NoteCode.IGNORED),
        (lambda sound: written(sound * 12, subtype="FLOAT"), NoteCode.UNUSUAL),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_lost_or_guessed_is_noted(change, code, seed):
    with collect_notes() as notes:
        of_file(change(tones(seed=seed)))
    assert code in [remark.code for remark in notes]
