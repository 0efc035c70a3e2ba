from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from service.runtimes.embedded.batching.batch_cost import BatchCost

SIZES = (1, 2, 4, 8, 16)


def learned(fixed: float, marginal: float, sizes: Iterable[int], noise: float = 0.0) -> BatchCost:
    """Return the cost learned from batches that take ``fixed + marginal * rows`` seconds."""
    rng = np.random.default_rng(0)
    cost = BatchCost()
    for rows in sizes:
        cost.observe(rows, (fixed + marginal * rows) * rng.normal(1, noise))
    return cost


@pytest.mark.parametrize(("fixed", "rows"), [(0.05, 10), (0.02, 4), (0.5, 32), (0.0, 1)])
def test_a_batch_is_closed_once_the_fixed_time_is_a_small_share(fixed: float, rows: int) -> None:
    assert learned(fixed, 0.1, SIZES * 10).worthwhile_rows(32) == rows


def test_until_enough_is_known_a_batch_takes_all_that_the_graph_can() -> None:
    assert BatchCost().worthwhile_rows(32) == 32
    assert learned(0.01, 0.1, (1, 2, 4, 8)).worthwhile_rows(32) == 32


def test_batches_of_one_size_tell_nothing_of_the_fixed_time() -> None:
    assert learned(0.01, 0.1, [8] * 100).worthwhile_rows(32) == 32


def test_short_batches_are_not_split() -> None:
    assert learned(0.0, 0.005, SIZES * 10).worthwhile_rows(32) == 10


def test_uncertain_costs_close_a_batch_later_and_not_earlier() -> None:
    certain, uncertain = (
        learned(0.05, 0.1, SIZES * 40, noise=noise).worthwhile_rows(64) for noise in (0.01, 0.2)
    )
    assert uncertain > certain >= 9


def test_a_batch_that_was_held_up_changes_little() -> None:
    cost = learned(0.05, 0.1, SIZES * 20)
    cost.observe(1, 30.0)
    assert cost.worthwhile_rows(64) <= 20


def test_new_costs_replace_those_of_before() -> None:
    cost = learned(0.5, 0.1, SIZES * 20)
    assert cost.worthwhile_rows(32) == 32
    for rows in SIZES * 120:
        cost.observe(rows, 0.02 + 0.1 * rows)
    assert cost.worthwhile_rows(32) <= 6


def test_a_slower_machine_under_load_does_not_pass_for_costly_rows() -> None:
    cost = learned(0.05, 0.1, [1, 2] * 100)
    for batches, expected in ((50, 4), (400, 9)):
        for rows in (8, 16) * batches:
            cost.observe(rows, 3 * (0.05 + 0.1 * rows))
        assert cost.worthwhile_rows(32) >= expected


def test_costs_that_shrink_with_the_rows_are_not_trusted() -> None:
    assert learned(-0.05, 0.1, SIZES * 20).worthwhile_rows(32) == 32
