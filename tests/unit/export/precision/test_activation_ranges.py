from __future__ import annotations

import numpy as np
import pytest

from export.precision.activation_ranges import ActivationRange, activation_range

EVEN = np.linspace(1, 2, 20).astype(np.float32)


def test_a_channel_far_above_the_others_is_split_into_equal_parts() -> None:
    largest = EVEN.copy()
    largest[7] = 8.0
    measured = activation_range(largest, extra=3)
    assert measured.split == {7: 4}
    assert measured.largest == pytest.approx(2.0)


def test_the_parts_of_every_channel_make_up_the_whole() -> None:
    measured = ActivationRange(largest=1.0, split={2: 3, 0: 2})
    columns, shares = measured.columns(4), measured.shares(4)
    assert columns == [0, 1, 2, 3, 2, 2, 0]
    assert np.bincount(columns, shares) == pytest.approx([1, 1, 1, 1])


def test_a_range_that_splitting_hardly_narrows_is_left_whole() -> None:
    measured = activation_range(EVEN, extra=3)
    assert measured.split == {}
    assert measured.largest == pytest.approx(2.0)


def test_the_range_of_a_dead_layer_is_not_empty() -> None:
    assert activation_range(np.zeros(4, np.float32)).largest > 0
