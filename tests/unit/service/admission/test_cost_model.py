from __future__ import annotations

import itertools

import numpy as np
import pytest

from omnivec2.spec import TensorSpec
from service.admission.cost_model import CostModel, DrainRate, tokens_of
from tests.support.service_parts.service_fakes import letters_spec

NOW = itertools.count()
"""A clock: each answer comes a second after the one before."""

FIXED = letters_spec()
IDS = TensorSpec(name="ids", dtype="int32", shape=(-1,))
SEQUENCE = letters_spec(inputs=(IDS,))
GRAPH = letters_spec(
    inputs=(
        TensorSpec(name="nodes", dtype="int32", shape=(-1, 9)),
        TensorSpec(name="edges", dtype="int32", shape=(-1, 2)),
    )
)


def test_samples_of_fixed_shape_all_have_the_same_tokens() -> None:
    batch = {"letters": np.zeros((3, 1), np.float32)}
    assert tokens_of(FIXED, batch) == 3 * tokens_of(FIXED, {"letters": batch["letters"][:1]})


def test_tokens_of_a_sequence_are_counted_with_their_padding() -> None:
    assert tokens_of(SEQUENCE, {"ids": np.zeros((4, 20), np.int32)}) == 80


def test_the_longest_of_several_tensors_counts() -> None:
    batch = {"nodes": np.zeros((2, 7, 9), np.int32), "edges": np.zeros((2, 30, 2), np.int32)}
    assert tokens_of(GRAPH, batch) == 60


def test_before_the_first_answer_a_longer_text_is_estimated_as_more_work() -> None:
    cost = CostModel([SEQUENCE])
    assert cost.estimate_tokens(4000) > cost.estimate_tokens(100) > 0
    assert cost.estimate_tokens(10**12) < 10**5


def test_the_first_answers_replace_the_initial_estimate() -> None:
    cost = CostModel([FIXED])
    for _ in range(5):
        cost.learn(1000, 10, 0.5, next(NOW))
    assert cost.seconds_per_token == pytest.approx(0.05)
    assert cost.estimate_tokens(1000) == pytest.approx(10)
    assert cost.estimate_tokens(None) == pytest.approx(10)


def test_tokens_are_fitted_to_the_length_of_the_body_where_they_depend_on_it() -> None:
    cost = CostModel([SEQUENCE])
    for length in (100, 200, 300, 400):
        cost.learn(length, 10 + length // 4, 0.01, next(NOW))
    assert cost.estimate_tokens(1000) == pytest.approx(260, rel=0.01)


def test_tokens_do_not_depend_on_the_length_of_the_body_for_fixed_shapes() -> None:
    cost = CostModel([FIXED])
    for length in (100_000, 20_000, 500_000, 80_000):
        cost.learn(length, 1, 0.01, next(NOW))
    assert cost.estimate_tokens(10_000_000) == pytest.approx(1)
    assert cost.estimate_tokens(1) == pytest.approx(1)


def test_bodies_of_one_length_do_not_determine_the_tokens_of_others() -> None:
    cost = CostModel([SEQUENCE])
    for _ in range(200):
        cost.learn(123, 77, 0.01, next(NOW))
    assert cost.estimate_tokens(100_000) == pytest.approx(77)


def test_old_costs_are_forgotten_when_they_change() -> None:
    cost = CostModel([FIXED])
    for _ in range(200):
        cost.learn(100, 1, 0.5, next(NOW))
    for _ in range(100):
        cost.learn(100, 4, 0.04, next(NOW))
    assert cost.seconds_per_token == pytest.approx(0.01, rel=0.3)
    assert cost.estimate_tokens(100) == pytest.approx(4, rel=0.1)


def test_the_drain_rate_is_the_work_done_per_second() -> None:
    rate = DrainRate(1.0)
    for _ in range(500):
        rate.record_busy_time(0.02)
        rate.record_work(0.06)
    assert rate.value == pytest.approx(3.0, rel=0.05)


def test_the_drain_rate_has_a_floor() -> None:
    rate = DrainRate(2.0)
    rate.record_busy_time(1000.0)
    assert rate.value == 0.5


def test_many_answers_of_a_moment_do_not_outweigh_the_seconds_before() -> None:
    cost = CostModel([FIXED])
    for second in range(100):
        cost.learn(100, 1, 0.01, second / 10)
    for stalled in range(100):
        cost.learn(100, 1, 0.1, 10 + stalled / 1000)
    assert cost.seconds_per_token < 0.02
