from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from service.runtimes.embedded.batch_cost import BatchCost

SIZES = (1, 2, 4, 8, 16)


def learned(fixed: float, marginal: float, sizes: Iterable[int], noise: float = 0.0) -> BatchCost:
    """Return the cost learned from batches that take ``fixed + marginal * rows`` seconds."""
    rng = np.random.default_rng(0)
    cost = BatchCost()
    for rows in sizes:
        cost.observe(rows, (fixed + marginal * rows) * rng.normal(1, noise))
    return cost


@pytest.mark.parametrize(("fixed", "rows"), [(0.01, 10), (0.004, 4), (0.1, 32), (0.0, 1)])
def test_a_batch_is_closed_once_the_fixed_time_is_a_small_share(fixed: float, rows: int) -> None:
    assert learned(fixed, 0.02, SIZES * 10).worthwhile_rows(32) == rows


def test_until_enough_is_known_a_batch_takes_all_that_the_graph_can() -> None:
    assert BatchCost().worthwhile_rows(32) == 32
    assert learned(0.001, 0.02, (1, 2, 4, 8)).worthwhile_rows(32) == 32


def test_batches_of_one_size_tell_nothing_of_the_fixed_time() -> None:
    assert learned(0.001, 0.02, [8] * 100).worthwhile_rows(32) == 32


def test_short_batches_are_not_split() -> None:
    assert learned(0.0, 0.001, SIZES * 10).worthwhile_rows(32) == 10


def test_uncertain_costs_close_a_batch_later_and_not_earlier() -> None:
    rows = [
        learned(0.01, 0.02, SIZES * repeats, noise=0.2).worthwhile_rows(64) for repeats in (4, 80)
    ]
    assert rows[0] > rows[1] >= 9


def test_a_batch_that_was_held_up_changes_little() -> None:
    cost = learned(0.01, 0.02, SIZES * 20)
    cost.observe(1, 30.0)
    assert cost.worthwhile_rows(32) <= 16


def test_new_costs_replace_those_of_before() -> None:
    cost = learned(0.1, 0.02, SIZES * 20)
    assert cost.worthwhile_rows(32) == 32
    for rows in SIZES * 600:
        cost.observe(rows, 0.004 + 0.02 * rows)
    assert cost.worthwhile_rows(32) <= 6
