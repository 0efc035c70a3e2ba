"""What limits cost: the figures of a run."""

from __future__ import annotations

import asyncio

from loadtests.scaling.limit_costs import cost_of, measure
from tests.support.outside_services.shared_state import needs_store, running_store


def test_costs_are_a_median_a_centile_and_processor_time_of_each_request() -> None:
    cost = cost_of([0.001] * 98 + [0.5, 0.5], 0.2)
    assert cost.median_ms == 1.0
    assert cost.p99_ms == 500.0
    assert cost.processor_ms == 2.0


@needs_store
def test_a_shared_state_costs_more_than_none() -> None:
    with running_store() as store:
        limits = {"requests_per_second": 1e9}
        shared, alone = (asyncio.run(measure(url, limits, 100)) for url in (store.url, ""))
    assert shared.median_ms > alone.median_ms
