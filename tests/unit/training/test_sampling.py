"""The samples of a step."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.sampling import AlternatingSampler, PairSampler, RootPairSampler
from tests.support.training import tiny_tasks


@pytest.fixture
def sampler() -> PairSampler:
    tasks = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
    tasks["tabular/double"] = tiny_tasks.regression()
    weights = {"tabular/sign": 1.0, "timeseries/waves": 1.0, "tabular/double": 3.0}
    return PairSampler(tasks, weights, dict.fromkeys(tasks, 7), 0, {})


def test_a_pair_is_of_two_modalities(sampler):
    pairs = [sampler.draw(step) for step in range(200)]
    assert all({a.split("/")[0], b.split("/")[0]} == {"tabular", "timeseries"} for a, b in pairs)


def test_literally_a_step_has_one_batch_half_of_it_from_each_task():
    tasks = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
    sizes = {"tabular/sign": 9, "timeseries/waves": 20}
    weights = dict.fromkeys(tasks, 1.0)
    usual = PairSampler(tasks, weights, sizes, 0, {})
    literal = PairSampler(tasks, weights, sizes, 0, {}, half_batches=True)
    counts = [
        sorted(len(stream.targets) for stream in next(sampler.stream(0, 1, {})).streams)
        for sampler in (usual, literal)
    ]
    assert counts == [[9, 20], [4, 4]]


def test_heavier_tasks_are_drawn_more_often(sampler):
    drawn = [route for step in range(300) for route in sampler.draw(step)]
    assert drawn.count("tabular/double") > 1.5 * drawn.count("tabular/sign")


def test_every_sample_comes_once_an_epoch_and_in_another_order_the_next(sampler):
    first = sampler.indices("tabular/sign", 0, 60)
    second = sampler.indices("tabular/sign", 60, 60)
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second


def test_a_resumed_stream_continues_as_if_never_stopped(sampler):
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


def _many(counts: dict[str, int]):
    """Return tasks of three modalities with training splits of given sizes."""
    base = {"tabular": tiny_tasks.classification(), "timeseries": tiny_tasks.forecasting()}
    base["image"] = tiny_tasks.detection()
    found = {}
    for route, count in counts.items():
        task = base[route.partition("/")[0]]
        train = task.splits["train"].take(np.zeros(count, np.int64))
        found[route] = task.__class__(
            **{**vars(task), "route": route, "splits": {**task.splits, "train": train}}
        )
    return found


SIZES = {"tabular/a": 300, "tabular/b": 100, "timeseries/c": 100, "image/d": 2500}


def test_stage_one_takes_every_modality_in_turn():
    sampler = AlternatingSampler(_many(SIZES), dict.fromkeys(SIZES, 4), 0)
    drawn = [sampler.draw(step) for step in range(90)]
    assert all(len(routes) == 1 for routes in drawn)
    for start in range(0, 90, 3):
        modalities = {route.partition("/")[0] for (route,) in drawn[start : start + 3]}
        assert modalities == {"tabular", "timeseries", "image"}
    assert {route for (route,) in drawn} == set(SIZES)


def test_stage_two_draws_modalities_by_the_root_of_their_size():
    sampler = RootPairSampler(_many(SIZES), dict.fromkeys(SIZES, 4), 0)
    # Roots of 400, 100 and 2500 samples.
    assert sampler.modality_probabilities() == pytest.approx([20 / 80, 10 / 80, 50 / 80])
    first = [sampler.draw(step)[0] for step in range(2000)]
    share = sum(route.startswith("image/") for route in first) / len(first)
    assert share == pytest.approx(50 / 80, abs=0.04)
    tables = [route for route in first if route.startswith("tabular/")]
    chance = 300**0.5 / (300**0.5 + 100**0.5)
    assert tables.count("tabular/a") / len(tables) == pytest.approx(chance, abs=0.06)


def test_stage_two_pairs_different_modalities():
    sampler = RootPairSampler(_many(SIZES), dict.fromkeys(SIZES, 4), 0)
    pairs = [sampler.draw(step) for step in range(200)]
    assert all(a.partition("/")[0] != b.partition("/")[0] for a, b in pairs)


def test_a_single_modality_is_paired_with_itself():
    tasks = _many({"tabular/a": 30, "tabular/b": 10})
    pair = RootPairSampler(tasks, dict.fromkeys(tasks, 4), 0).draw(0)
    assert set(pair) <= {"tabular/a", "tabular/b"}
    assert len(pair) == 2
