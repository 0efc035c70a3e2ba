from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.sound.sound_levels import (
    Mixer,
    mixed,
    report_silence,
    to_full_scale,
)
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.sounds import tones

QUIET = tones()


def scaled(samples: np.ndarray) -> tuple[np.ndarray, list[NoteCode]]:
    with collect_notes() as notes:
        return to_full_scale(samples.astype(np.float32)), [found.code for found in notes]


def test_samples_of_full_scale_are_left_alone():
    found, notes = scaled(QUIET)
    np.testing.assert_array_equal(found, QUIET)
    assert notes == []
    assert len(scaled(np.zeros(0))[0]) == 0


@pytest.mark.parametrize("full", [2**15, 2**23, 2**31])
def test_integers_that_were_saved_as_floats_are_divided_by_their_full_scale(full):
    found, notes = scaled(QUIET * full * 2)
    assert found == pytest.approx(QUIET * 2, abs=1e-5)
    assert notes == [NoteCode.GUESSED]


def test_unsigned_bytes_are_centred():
    found, notes = scaled(np.round(QUIET * 128 + 128))
    assert found == pytest.approx(QUIET, abs=0.005)
    assert notes == [NoteCode.GUESSED]


def test_floats_that_are_mixed_too_loud_are_kept_and_noted():
    found, notes = scaled(QUIET * 8)
    np.testing.assert_array_equal(found, QUIET * 8)
    assert notes == [NoteCode.UNUSUAL]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_sound_are_refused(value):
    with pytest.raises(InvalidInputError, match=r"-1\.\.1"):
        to_full_scale(np.array([0, value], np.float32))


def test_samples_beyond_the_stated_scale_are_refused():
    with pytest.raises(InvalidInputError, match=r"-1\.\.1"):
        to_full_scale(np.array([0, 26_000], np.float32), stated=True)


@pytest.mark.parametrize(("level", "silent"), [(0, True), (3e-5, True), (1e-3, False)])
def test_silence_is_noted(level, silent):
    with collect_notes() as notes:
        report_silence(np.array([level, -level] * 100, np.float32))
    assert [found.code for found in notes] == [NoteCode.EMPTY] * silent


def mix(*channels: np.ndarray) -> tuple[np.ndarray, list[NoteCode]]:
    with collect_notes() as notes:
        return mixed(np.stack(channels, axis=1)), [found.code for found in notes]


def test_channels_are_averaged():
    other = tones(seed=1)
    found, notes = mix(QUIET, other)
    assert found == pytest.approx((QUIET + other) / 2)
    assert notes == []
    assert mixed(QUIET) is QUIET


@pytest.mark.parametrize("offset", [0, 0.2])
@pytest.mark.parametrize("noise", [0, 0.002])
def test_of_channels_of_opposite_phase_the_louder_is_used(offset, noise):
    rng = np.random.default_rng(0)
    inverse = (-1.1 * QUIET + rng.normal(0, noise, len(QUIET)) + offset).astype(np.float32)
    found, notes = mix(QUIET + np.float32(offset), inverse)
    np.testing.assert_array_equal(found, inverse)
    assert notes == [NoteCode.REPAIRED]


def test_channels_of_unrelated_sounds_are_no_opposites():
    for count in (2, 5, 8):
        assert mix(*(tones(seed=seed) for seed in range(count)))[1] == []
    assert mix(QUIET, np.zeros_like(QUIET))[1] == []
    assert mix(np.zeros_like(QUIET), np.zeros_like(QUIET))[1] == []


def test_a_mixer_judges_all_blocks_together():
    mixer = Mixer(2)
    for block in np.split(np.stack([QUIET, -QUIET], axis=1), 10):
        mixer.add(block)
    assert mixer.instead() == 0
    assert Mixer(2).instead() is None
