from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.audio import Audio
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Modality
from tests.support.documents import ROOT

RATE = 16_000
RNG = np.random.default_rng(3)


def codes(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[NoteCode]:
    kind = preprocessor_type(Modality.AUDIO)
    preprocessor = kind(kind.parameters_type.model_validate({}))
    with collect_notes() as notes:
        preprocessor.prepare(Audio(samples.astype(np.float32), RATE))
    return [note.code for note in notes]


def coloured(slope: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    spectrum = np.fft.rfft(RNG.normal(size=5 * RATE))
    return 0.1 * np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1) ** slope)


@pytest.mark.parametrize("level", [1e-3, 0.2, 3.0])
@pytest.mark.parametrize("seconds", [1, 5, 13])
def test_white_noise_of_any_level_and_length_shows_nothing(level: float, seconds: int) -> None:
    noise = np.clip(level * RNG.normal(size=seconds * RATE), -1, 1)
    assert codes(np.rint(noise * 32767) / 32768) == [NoteCode.EMPTY]


@pytest.mark.parametrize("slope", [-0.5, 0.5])
def test_noise_of_another_colour_does_show_something(slope: float) -> None:
    assert NoteCode.EMPTY not in codes(coloured(slope))


def test_noise_that_comes_and_goes_or_covers_a_tone_does_show_something() -> None:
    time = np.arange(5 * RATE) / RATE
    noise = 0.1 * RNG.normal(size=time.size)
    assert NoteCode.EMPTY not in codes(noise * (1 + np.sin(2 * np.pi * time)))
    assert NoteCode.EMPTY not in codes(noise + 0.3 * np.sin(2 * np.pi * 1000 * time))
    assert NoteCode.EMPTY not in codes(np.concatenate([noise, coloured(-1.0) * 0.1, noise]))


def test_a_real_recording_is_no_white_noise() -> None:
    kind = preprocessor_type(Modality.AUDIO)
    preprocessor = kind(kind.parameters_type.model_validate({}))
    with collect_notes() as notes:
        data = (ROOT / "tests/data/audio/dog_bark.wav").read_bytes()
        preprocessor.prepare(preprocessor.decode(data))
    assert NoteCode.EMPTY not in [note.code for note in notes]
