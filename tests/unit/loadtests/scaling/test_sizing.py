"""The computation of replicas, against queues whose answers are known."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from loadtests.scaling.sizing import (
    MOST_UTILISATION,
    TooFastError,
    latency_seconds,
    newest_costs,
    replicas_for,
    waiting_share,
)


def test_with_one_core_as_many_wait_as_it_is_busy():
    assert waiting_share(1, 0.7) == pytest.approx(0.7)


def test_with_two_cores_the_share_is_that_of_the_textbook():
    # Erlang C for 2 servers and 1 erlang: 1/3.
    assert waiting_share(2, 1.0) == pytest.approx(1 / 3)


def test_many_cores_are_computed_without_overflow():
    assert 0 < waiting_share(5000, 4900.0) < 1


@pytest.mark.parametrize(("cores", "rate"), [(1, 60.0), (2, 140.0), (4, 330.0)])
def test_latency_is_that_of_a_simulated_queue(cores: int, rate: float):
    cost = 0.01
    random.seed(7)
    free = [0.0] * cores
    now, waits = 0.0, []
    for _ in range(200_000):
        now += random.expovariate(rate)
        start = max(now, min(free))
        free[free.index(min(free))] = start + random.expovariate(1 / cost)
        waits.append(start - now)
    seen = sorted(waits)[int(len(waits) * 0.99)]
    assert latency_seconds(0.0, cost, cores, rate, 0.99) == pytest.approx(seen, rel=0.15)


def test_more_than_the_cores_can_do_takes_forever():
    assert latency_seconds(0.01, 0.01, 2, 200.0, 0.99) == math.inf


def test_replicas_are_enough_and_one_less_is_not():
    count = replicas_for(1000.0, 0.05, alone=0.02, cost=0.015, cores=2)
    assert latency_seconds(0.02, 0.015, 2, 1000 / count, 0.99) <= 0.05
    fewer = 1000 / (count - 1)
    is_full = fewer * 0.015 > 2 * MOST_UTILISATION
    assert is_full or latency_seconds(0.02, 0.015, 2, fewer, 0.99) > 0.05


def test_a_time_below_that_of_an_answer_alone_is_refused():
    with pytest.raises(TooFastError, match="20 ms alone"):
        replicas_for(1.0, 0.01, alone=0.02, cost=0.01, cores=2)


def test_the_newest_costs_are_taken(tmp_path: Path):
    for day in ("2026-11-02", "2026-10-29"):
        (tmp_path / f"costs_2-cores_{day}.json").write_text(json.dumps({"day": day}))
    assert newest_costs(tmp_path)[1] == {"day": "2026-11-02"}
    with pytest.raises(FileNotFoundError, match="measure_costs"):
        newest_costs(tmp_path / "empty")
