"""Weights of tasks: slow tasks weigh more, within bounds; and the paper's literal version."""

from __future__ import annotations

import json

import pytest

from omnivec2.training.balancing import HIGHEST, LOWEST, Balance

ROUTES = ["a/fast", "b/slow", "c/stuck"]


def _run(balance: Balance, steps: int = 200) -> Balance:
    for step in range(steps):
        balance.add("a/fast", 2.0 * 0.97**step)
        balance.add("b/slow", 5.0 * 0.995**step)
        balance.add("c/stuck", 0.1)
    return balance


def test_all_tasks_have_equal_weights_before_any_loss_is_known():
    assert Balance(ROUTES).weights() == dict.fromkeys(ROUTES, 1.0)


def test_a_task_that_converges_slowly_counts_more_whatever_its_scale():
    weights = _run(Balance(ROUTES)).weights()
    assert weights["a/fast"] < weights["b/slow"] < weights["c/stuck"]


@pytest.mark.parametrize("tasks", [2, 20])
def test_weights_stay_within_their_bounds(tasks):
    balance = Balance([f"t/{index}" for index in range(tasks)])
    for step in range(100):
        for index in range(tasks):
            balance.add(f"t/{index}", 9.0**index if index == 0 else 0.5**step)
        assert all(LOWEST <= weight <= HIGHEST for weight in balance.weights().values())
    assert (LOWEST, HIGHEST) == (0.3, 3.0)
    assert balance.weights()["t/1"] == LOWEST or tasks > 2
    assert balance.weights()["t/0"] == HIGHEST or tasks == 2


def test_weights_are_one_on_average():
    weights = _run(Balance(ROUTES, literal=True)).weights()
    assert sum(weights.values()) == pytest.approx(len(ROUTES))


def test_literally_only_the_descent_between_the_last_two_windows_counts():
    balance = Balance(["a/x", "b/y"], literal=True)
    for _ in range(20):
        balance.add("a/x", 4.0)
        balance.add("b/y", 4.0)
    for _ in range(20):
        balance.add("a/x", 2.0)
        balance.add("b/y", 4.0)
    assert balance.rate("a/x") == pytest.approx(0.5)
    assert balance.rate("b/y") == pytest.approx(1.0)
    for _ in range(20):
        balance.add("a/x", 2.0)
    assert balance.rate("a/x") == pytest.approx(1.0)


def test_without_balancing_all_tasks_have_equal_weights():
    assert set(_run(Balance(ROUTES, enabled=False)).weights().values()) == {1.0}


def test_a_restored_balance_weighs_as_before():
    balance = _run(Balance(ROUTES), 57)
    again = Balance(ROUTES)
    again.restore(json.loads(json.dumps(balance.state())))
    assert again.weights() == balance.weights()
    assert _run(again, 30).weights() == _run(balance, 30).weights()


def test_a_loss_that_is_not_a_number_changes_nothing():
    balance = _run(Balance(ROUTES), 20)
    before = balance.weights()
    balance.add("a/fast", float("nan"))
    assert balance.weights() == before
