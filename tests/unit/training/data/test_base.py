from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.training.data.base import LazySequence, Split, Subset, hold_out


def test_samples_without_their_targets_are_refused():
    with pytest.raises(ArtifactError, match="2 samples"):
        Split([{}, {}], [1])


def test_a_taken_part_keeps_samples_targets_and_scales_together():
    split = Split(
        LazySequence(4, lambda i: {"x": np.array([i])}), np.arange(4) * 10, scales=np.arange(4.0)
    ).take(np.array([3, 1]))
    assert [int(sample["x"][0]) for sample in split.samples] == [3, 1]
    assert list(split.targets) == [30, 10]
    assert split.scales.tolist() == [3.0, 1.0]


def test_lazy_items_are_made_on_access_only():
    made: list[int] = []

    def make(index: int) -> int:
        made.append(index)
        return index

    items = LazySequence(1000, make)
    assert items[7] == 7
    assert items[-1] == 999
    assert list(items[2:4]) == [2, 3]
    assert made == [7, 999, 2, 3]
    with pytest.raises(IndexError):
        items[1000]


def test_a_slice_of_a_subset_is_a_subset():
    assert list(Subset("abcdef", np.array([5, 4, 3]))[1:]) == ["e", "d"]


def test_held_out_items_have_the_shares_of_the_classes_and_never_change():
    targets = np.array([0] * 80 + [1] * 20)
    kept, held = hold_out(targets, 0.1, seed=1)
    assert np.bincount(targets[held]).tolist() == [8, 2]
    assert sorted([*kept, *held]) == list(range(100))
    assert np.array_equal(held, hold_out(targets, 0.1, seed=1)[1])
