from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.pictures.sample_bits import significant_bits
from omnivec2.preprocess.formats.pictures.sample_depth import to_uint8, upper_bytes
from omnivec2.preprocess.notes import NoteCode, collect_notes

RAMP = np.linspace(0, 1, 256)
BYTES = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_a_camera_s_bits_in_the_lower_end_of_16_are_recognised_with_a_note(bits):
    values = np.rint(RAMP * ((1 << bits) - 1)).astype(np.uint16)
    with collect_notes() as notes:
        found = to_uint8(values)
    assert np.abs(found.astype(int) - BYTES).max() <= 1
    (note,) = notes
    assert note.code == NoteCode.GUESSED
    assert f"use {bits} bits" in note.text


def test_stated_bits_need_no_note_unless_values_are_above_them():
    values = np.rint(RAMP * 4095).astype(np.uint16)
    with collect_notes() as notes:
        assert np.abs(to_uint8(values, 4095).astype(int) - BYTES).max() <= 1
        # Filled up to 16 bits, as the PNG specification wants it.
        assert np.abs(to_uint8(values << 4, 4095).astype(int) - BYTES).max() <= 1
    assert not notes


def test_full_16_bits_give_their_upper_bytes():
    values = np.random.default_rng(0).integers(0, 65_536, (7, 5, 3)).astype(np.uint16)
    values[0, 0, 0] = 65_535
    np.testing.assert_array_equal(to_uint8(values), values >> 8)
    np.testing.assert_array_equal(upper_bytes(values[:, ::2]), values[:, ::2] >> 8)


def test_an_all_black_picture_of_16_bits_stays_black_without_a_guess():
    with collect_notes() as notes:
        assert to_uint8(np.zeros((3, 3), np.uint16)).max() == 0
    assert not notes
    assert significant_bits(np.zeros(3, np.uint16)) == 16


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_are_black_to_white(kind):
    with collect_notes() as notes:
        found = to_uint8((RAMP * 0.8).astype(kind))
    assert np.abs(found - RAMP * 0.8 * 255).max() <= 1
    assert not notes


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP * 200, RAMP * 200),  # of 0 to 255
        (RAMP * 0.01, RAMP * 255),
        (RAMP * 40 - 20, RAMP * 255),
        (RAMP * 5000, RAMP * 255),
    ],
)
def test_other_floats_are_scaled_with_a_note(values, expected):
    with collect_notes() as notes:
        found = to_uint8(values.astype(np.float32))
    assert np.abs(found - expected).max() <= 1
    assert [note.code for note in notes] == [NoteCode.GUESSED]


def test_nan_is_black_and_nothing_but_nan_is_invalid():
    values = (RAMP * 0.9).astype(np.float32)
    values[-1] = np.nan
    assert to_uint8(values)[-1] == 0
    with pytest.raises(InvalidInputError, match="no finite value"):
        to_uint8(np.full(4, np.nan))


def test_integers_of_32_bits_never_wrap_round():
    full = (RAMP * (2**32 - 1)).astype(np.uint32)
    with collect_notes() as notes:
        assert np.abs(to_uint8(full).astype(int) - BYTES).max() <= 1
    assert not notes
    for values in (full // 1000, (RAMP * 60_000 - 30_000).astype(np.int16)):
        with collect_notes() as notes:
            assert np.abs(to_uint8(values).astype(int) - BYTES).max() <= 1
        assert "no natural white" in next(iter(notes)).text


def test_truth_values_are_black_and_white():
    assert to_uint8(np.array([True, False])).tolist() == [255, 0]
