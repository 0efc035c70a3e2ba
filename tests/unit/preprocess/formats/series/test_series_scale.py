from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.series.series_scale import scale_series
from omnivec2.preprocess.notes import NoteCode, collect_notes

WAVE = 30 + 5 * np.sin(np.arange(336) / 4)


def normalised(values):
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("series", [WAVE, WAVE * 1e6, WAVE + 1000, WAVE * 0.01])
def test_ordinary_series_are_left_alone(series):
    scaled = scale_series(series, "y")
    np.testing.assert_array_equal(scaled.values, series.astype(np.float32))
    assert not scaled.is_scaled


@pytest.mark.parametrize("offset", [1e5, 1e8, -1e9, 1e12])
def test_far_offsets_keep_their_shape(offset):
    scaled = scale_series(WAVE + offset, "y")
    assert scaled.values == pytest.approx(normalised(WAVE), abs=1e-4)
    answer = scaled.values.astype(np.float64) * scaled.scale + scaled.location
    assert answer - offset == pytest.approx(WAVE, abs=1e-3)


def test_tiny_values_keep_their_shape():
    scaled = scale_series(WAVE * 1e-9, "y")
    assert scaled.values == pytest.approx(normalised(WAVE), abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e9, 0.1])
def test_a_constant_series_gives_the_constant_whatever_the_network_says(value):
    with collect_notes() as notes:
        scaled = scale_series(np.full(336, value), "y")
    assert scaled.scale == 0
    assert scaled.location == value
    assert np.isfinite(scaled.values).all()
    assert scaled.values.std() == 1
    assert [note.code for note in notes] == [NoteCode.EMPTY]


def test_what_rounding_leaves_is_no_change():
    series = np.where(np.arange(336) % 2, 0.1 + 0.2, 0.3)
    assert scale_series(series, "y").scale == 0
