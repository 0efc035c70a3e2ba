from __future__ import annotations

import numpy as np

from service.runtimes.embedded.batching.batch_rows import (
    Rows,
    join_rows,
    length_bucket,
    merge_batches,
)


def test_merging_pads_the_shorter_with_zeros() -> None:
    merged = merge_batches([{"x": np.ones((1, 2), np.int32)}, {"x": np.ones((2, 3), np.int32)}])
    assert merged["x"].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    assert merged["x"].dtype == np.int32


def test_all_rows_of_one_array_are_joined_without_a_copy() -> None:
    array = np.arange(6).reshape(3, 2)
    assert join_rows([Rows(array, 0, 1), Rows(array, 1, 3)]) is array


def test_some_rows_of_an_array_or_in_another_order_are_joined_as_they_come() -> None:
    array = np.arange(6).reshape(3, 2)
    assert join_rows([Rows(array, 1, 3), Rows(array, 0, 1)]).tolist() == [[2, 3], [4, 5], [0, 1]]
    assert join_rows([Rows(array, 0, 1)]).tolist() == [[0, 1]]
    assert join_rows([Rows(array, 0, 1), Rows(array, 2, 3)]).tolist() == [[0, 1], [4, 5]]


def test_lengths_meet_within_a_factor_of_two_or_only_equal_ones() -> None:
    short, long, longest = ([np.zeros((1, size))] for size in (33, 64, 65))
    assert length_bucket(short, pads=True) == length_bucket(long, pads=True)
    assert length_bucket(long, pads=True) != length_bucket(longest, pads=True)
    assert length_bucket(short, pads=False) != length_bucket(long, pads=False)
