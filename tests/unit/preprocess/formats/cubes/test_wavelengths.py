from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.cubes.wavelengths import (
    SENSORS,
    as_wavelengths,
    match_bands,
    to_nanometres,
)
from omnivec2.preprocess.notes import collect_notes

AVIRIS = SENSORS["aviris"]
NOMINAL = AVIRIS.wavelengths_nm


def smooth(wavelengths: np.ndarray) -> np.ndarray:
    """Two spectra that are smooth functions of the wavelength."""
    x = (wavelengths - 1400) / 1000
    return np.stack([1000 + 300 * x, 1500 - 200 * x**2])


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([400, 2500], "nm"), ([0.4, 2.5], "um"), ([0.4, 2.5], ""), ([400, 2500], ""),
        ([0.4, 2.5], "nm"), ([4e-7, 2.5e-6], "m"), ([25_000, 4_000], "Wavenumber"),
    ],
)  # fmt: skip
def test_units_are_told_by_their_size_or_name(values: list[float], unit: str) -> None:
    found = to_nanometres(np.array(values, float), unit)
    assert found is not None
    np.testing.assert_allclose(found, [400, 2500])


@pytest.mark.parametrize(
    ("values", "unit"),
    [(np.arange(1, 205), ""), (np.arange(204), "nm"), ([300, 700], "GHz"), ([5, 9], "Index")],
)
def test_what_is_no_wavelength_is_left_out_with_a_note(values: list[float], unit: str) -> None:
    with collect_notes() as notes:
        assert to_nanometres(np.array(values, float), unit) is None
    assert [note.code for note in notes] == ["ignored"]


def test_nothing_has_no_wavelengths() -> None:
    assert as_wavelengths(None) is None
    assert as_wavelengths(()) is None
    np.testing.assert_allclose(as_wavelengths(np.array([[0.5, 0.6]])), [500, 600])


def test_the_sensor_has_the_bands_that_are_left_of_224() -> None:
    assert AVIRIS.bands == 204
    assert (round(NOMINAL.min()), round(NOMINAL.max())) == (366, 2486)


@pytest.mark.parametrize("shift", [0, -20, 30])
def test_bands_of_the_same_range_stay_as_they_are(shift: float) -> None:
    values = smooth(NOMINAL)
    with collect_notes() as notes:
        assert match_bands(values, NOMINAL + shift, AVIRIS) is values
        assert match_bands(values, np.linspace(400, 2500, 204), AVIRIS) is values
    assert not len(notes)


def test_bands_in_descending_order_are_turned_with_a_note() -> None:
    values = smooth(NOMINAL)
    with collect_notes() as notes:
        turned = match_bands(values[:, ::-1], NOMINAL[::-1], AVIRIS)
    np.testing.assert_allclose(turned, values, rtol=0.02)
    assert [note.code for note in notes] == ["resampled"]


@pytest.mark.parametrize("bands", [150, 224, 285])
def test_bands_of_another_sensor_that_covers_the_range_are_resampled_with_a_note(
    bands: int,
) -> None:
    own = np.linspace(350, 2510, bands)
    with collect_notes() as notes:
        resampled = match_bands(smooth(own).astype(np.float32), own, AVIRIS)
    np.testing.assert_allclose(resampled, smooth(NOMINAL), rtol=1e-3)
    assert [note.code for note in notes] == ["resampled"]


@pytest.mark.parametrize(("low", "high"), [(397, 1003), (900, 2500), (400, 1700), (8000, 12_000)])
def test_another_range_is_refused_by_name(low: float, high: float) -> None:
    own = np.linspace(low, high, 204)
    with pytest.raises(InvalidInputError, match="wavelengths of the 204 bands go from"):
        match_bands(smooth(own), own, AVIRIS)


def test_wavelengths_that_are_no_numbers_are_left_out_with_a_note() -> None:
    values = smooth(NOMINAL)
    with collect_notes() as notes:
        assert match_bands(values, np.full(204, np.nan), AVIRIS) is values
    assert [note.code for note in notes] == ["ignored"]
