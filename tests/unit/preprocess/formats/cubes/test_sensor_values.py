from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.formats.cubes.cube import Cube, find_bands
from omnivec2.preprocess.formats.cubes.sensor_values import sensor_values
from omnivec2.preprocess.formats.cubes.wavelengths import SENSORS
from omnivec2.preprocess.notes import Note, collect_notes
from omnivec2.spec import Limits

AVIRIS = SENSORS["aviris"]
BANDS = 204
RAW = (1000 + np.arange(3 * 4 * BANDS) % 977).reshape(3, 4, BANDS).astype(np.int16)


def values(
    cube: Cube, *, known: bool = True, scale: float | None = None
) -> tuple[np.ndarray, list[Note]]:
    with collect_notes() as notes:
        found = sensor_values(cube, BANDS, AVIRIS if known else None, Limits(), scale)
    return found, list(notes)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_bands_may_be_any_axis(axis: int) -> None:
    moved = np.moveaxis(RAW, -1, axis)
    for stated in (None, axis):
        found, notes = values(Cube(moved, stated))
        np.testing.assert_array_equal(found, RAW)
        assert notes == []


def test_axes_of_a_single_entry_do_not_count() -> None:
    np.testing.assert_array_equal(values(Cube(RAW[None]))[0], RAW)
    np.testing.assert_array_equal(values(Cube(RAW[0, 0]))[0], RAW[0, :1])


def test_several_axes_of_the_number_of_bands_are_a_guess() -> None:
    cube = np.tile(RAW[:1, :1], (BANDS, 2, 1))
    found, notes = values(Cube(cube))
    np.testing.assert_array_equal(found, cube)
    assert [note.code for note in notes] == ["guessed"]
    with pytest.raises(InvalidInputError, match=r"expected 204 bands, got an array of shape \(3,"):
        find_bands((3, 5), BANDS)


def test_bad_bands_that_the_head_does_not_have_are_left_out() -> None:
    bad = np.zeros(224, bool)
    bad[[3, 9, *range(100, 118)]] = True
    full = np.full((3, 4, 224), 1, np.int16)
    full[..., ~bad] = RAW
    found, notes = values(Cube(full, 2, bad_bands=bad, wavelengths_nm=np.linspace(390, 2500, 224)))
    np.testing.assert_array_equal(found, RAW)
    assert notes == []


def test_bad_bands_that_the_head_has_are_interpolated_with_a_note() -> None:
    bad = np.zeros(BANDS, bool)
    bad[[0, 50, 51]] = True
    spectrum = np.linspace(500, 2000, BANDS)
    spoilt = np.tile(np.where(bad, 1, spectrum), (2, 2, 1)).astype(np.float32)
    found, notes = values(Cube(spoilt, 2, bad_bands=bad))
    np.testing.assert_allclose(found[0, 0, 1:], spectrum[1:], rtol=1e-5)
    assert found[0, 0, 0] == found[0, 0, 1]
    assert [(note.code, note.field, note.count) for note in notes] == [("filled", "bbl", 3)]


def test_bad_bands_that_leave_another_number_are_refused_by_name() -> None:
    bad = np.arange(224) < 10
    with pytest.raises(InvalidInputError, match="214 of them good by its bad bands list"):
        values(Cube(np.ones((2, 2, 224), np.int16), 2, bad_bands=bad))
    with pytest.raises(InvalidInputError, match="leaves no band"):
        values(Cube(RAW, 2, bad_bands=np.ones(BANDS, bool)))


@pytest.mark.parametrize("factor", [1e-4, 1e-2, 100.0])
def test_values_out_of_the_sensors_range_are_noted(factor: float) -> None:
    found, notes = values(Cube((RAW * factor).astype(np.float32)))
    np.testing.assert_allclose(found, RAW * factor, rtol=1e-6)
    assert [note.code for note in notes] == ["unusual"]
    assert ("reflectance" in notes[0].text) == (factor == 1e-4)
    assert values(Cube((RAW * factor).astype(np.float32)), known=False)[1] == []


def test_a_stated_scale_is_applied_without_a_word() -> None:
    found, notes = values(Cube((RAW / 1e4).astype(np.float32)), scale=1e4)
    np.testing.assert_allclose(found, RAW, rtol=1e-6)
    assert notes == []


def test_reflectances_with_a_scale_factor_are_multiplied_with_a_note() -> None:
    found, notes = values(Cube((RAW / 1e4).astype(np.float32), reflectance_factor=1e4))
    np.testing.assert_allclose(found, RAW, rtol=1e-6)
    assert [note.code for note in notes] == ["converted"]
    found, notes = values(Cube(RAW, reflectance_factor=1e4))
    assert found is RAW or np.array_equal(found, RAW)
    assert [note.code for note in notes] == ["unusual"]


def test_gains_that_are_not_applied_are_noted() -> None:
    _, notes = values(Cube(RAW, ignored=("data gain values",)))
    assert [note.code for note in notes] == ["ignored"]


def test_more_pixels_than_the_limit_are_refused() -> None:
    with pytest.raises(TooLargeError, match="12 pixels"):
        sensor_values(Cube(RAW), BANDS, None, Limits(pixels=11), None)
