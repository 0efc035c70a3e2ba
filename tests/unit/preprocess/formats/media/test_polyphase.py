from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from omnivec2.preprocess.formats.media.polyphase import resample


@pytest.mark.parametrize(
    ("count", "up", "down"),
    [(2, 1, 3), (2, 3, 1), (10, 6, 4), (300, 1, 2), (500, 7, 3), (500, 50, 104), (9, 400, 399)],
)
def test_a_recording_is_resampled_as_by_scipy(count, up, down):
    signal = np.random.default_rng(count).normal(9.81, 1, (count, 3))
    expected = resample_poly(signal, up, down, axis=0, padtype="line")
    np.testing.assert_allclose(resample(signal, up, down), expected, rtol=0, atol=1e-12)


def test_an_equal_rate_gives_a_copy():
    signal = np.arange(6.0).reshape(3, 2)
    same = resample(signal, 4, 4)
    assert same is not signal
    np.testing.assert_array_equal(same, signal)


def test_a_line_stays_the_line_it_was():
    signal = np.linspace(5, 9, 41)[:, None]
    np.testing.assert_allclose(resample(signal, 1, 4), signal[::4], atol=1e-9)
