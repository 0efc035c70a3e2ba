"""The simulation in small, and the clock it runs by."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from loadtests.scaling import simulation
from loadtests.scaling.simulation import Plan, simulate
from loadtests.scaling.virtual_time import run

COSTS = {"text/short": 0.01, "image/long": 0.03}


def outcome_of(servers: int, load: float, length: float = 4.0) -> simulation.Outcome:
    random.seed(3)
    return run(simulate(Plan(servers, 2, load, COSTS, length)))


def test_minutes_of_virtual_time_take_no_time():
    async def sleep() -> float:
        await asyncio.gather(asyncio.sleep(600), asyncio.sleep(300))
        return asyncio.get_running_loop().time()

    started = time.thread_time()
    assert run(sleep()) == pytest.approx(600)
    assert time.thread_time() - started < 5


def test_what_would_wait_forever_is_an_error():
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing is left to happen"):
        run(wait())


def test_at_a_load_that_fits_nothing_is_refused_and_servers_share_it():
    outcome = outcome_of(servers=8, load=0.7)
    assert (outcome.refused, outcome.late) == (0.0, 0)
    assert outcome.goodput == pytest.approx(0.7, abs=0.07)
    assert outcome.p99_ms < 150
    assert outcome.unevenness < 1.15


def test_under_overload_servers_answer_what_they_can_and_the_rest_is_refused():
    outcome = outcome_of(servers=4, load=2.0)
    assert outcome.goodput > 0.9
    assert outcome.refused == pytest.approx(0.5, abs=0.08)
    assert outcome.late < 0.01 * outcome.arrived


def test_the_service_s_own_balancing_decides(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simulation, "choose_server", lambda servers, everywhere: servers[0])
    assert outcome_of(servers=4, load=0.5).unevenness == pytest.approx(4.0)
