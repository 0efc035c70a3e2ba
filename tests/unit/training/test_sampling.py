"""Which samples a step sees."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.sampling import PairSampler
from tests.support import tiny_tasks


@pytest.fixture
def sampler() -> PairSampler:
    tasks = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
    tasks["tabular/double"] = tiny_tasks.regression()
    weights = {"tabular/sign": 1.0, "timeseries/waves": 1.0, "tabular/double": 3.0}
    return PairSampler(tasks, weights, dict.fromkeys(tasks, 7), 0, {})


def test_a_pair_is_of_two_modalities(sampler):
    pairs = [sampler.pair(step) for step in range(200)]
    assert all({a.split("/")[0], b.split("/")[0]} == {"tabular", "timeseries"} for a, b in pairs)


def test_heavier_tasks_are_drawn_more_often(sampler):
    drawn = [route for step in range(300) for route in sampler.pair(step)]
    assert drawn.count("tabular/double") > 1.5 * drawn.count("tabular/sign")


def test_every_sample_comes_once_an_epoch_and_in_another_order_the_next(sampler):
    first = sampler.indices("tabular/sign", 0, 60)
    second = sampler.indices("tabular/sign", 60, 60)
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second


def test_a_stream_taken_up_in_the_middle_goes_on_as_if_never_stopped(sampler):
    whole = list(sampler.stream(0, 8, {}))
    again = list(sampler.stream(4, 8, whole[3].drawn))
    for a, b in zip(whole[4:], again, strict=True):
        assert a.drawn == b.drawn
        for x, y in zip(a.streams, b.streams, strict=True):
            assert x.route == y.route
            assert all(np.array_equal(x.inputs[name], y.inputs[name]) for name in x.inputs)


def test_an_error_while_making_a_batch_reaches_the_loop(sampler):
    def broken(sample, target, rng):
        raise ValueError("row 3 is damaged")

    route = "tabular/double"
    sampler.tasks[route] = tiny_tasks.regression().__class__(
        **{**vars(sampler.tasks[route]), "augment": broken}
    )
    with pytest.raises(ValueError, match="row 3"):
        list(sampler.stream(0, 50, {}))
