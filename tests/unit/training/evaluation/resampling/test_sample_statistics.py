"""Metrics from statistics of samples, which must equal the metrics themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from omnivec2.training.evaluation.metrics.search_metrics import Searched
from omnivec2.training.evaluation.metrics.value_metrics import QuantileForecast
from omnivec2.training.evaluation.predictions import Answers
from omnivec2.training.evaluation.resampling.sample_statistics import figure_of

RNG = np.random.default_rng(0)
N = 12


def _classes() -> Answers:
    return Answers(list(RNG.normal(size=(N, 2))), [i % 2 for i in range(N)])


def _labels() -> Answers:
    return Answers(list(RNG.normal(size=(N, 3))), list(RNG.integers(0, 2, (N, 3)).astype(np.uint8)))


def _values() -> Answers:
    return Answers(list(RNG.normal(size=(N, 2))), list(RNG.normal(size=(N, 2))))


def _maps() -> Answers:
    wanted = list(RNG.uniform(1, 5, (N, 1, 4, 4)))
    wanted[2][0, 0, 0] = np.nan
    return Answers(list(RNG.uniform(1, 5, (N, 1, 4, 4))), wanted)


def _masks() -> Answers:
    wanted = [RNG.integers(0, 3, (4, 5 + i)).astype(np.uint8) for i in range(N)]
    wanted[0][0] = 255
    return Answers([RNG.integers(0, 3, mask.shape) for mask in wanted], wanted)


def _boxes() -> Answers:
    found, wanted = [], []
    for _ in range(N):
        boxes = np.concatenate([RNG.uniform(0.2, 0.8, (4, 2)), RNG.uniform(0.1, 0.3, (4, 2))], 1)
        wanted.append({"boxes": boxes[:3], "labels": np.array([0, 1, 1])})
        found.append({
            "boxes": boxes + RNG.normal(0, 0.02, boxes.shape),
            "labels": np.array([0, 1, 0, 1]),
            "scores": RNG.uniform(size=4),
        })  # fmt: skip
    return Answers(found, wanted)


def _texts() -> Answers:
    words = ["a dog runs", "the cat sat down", "a cat runs", "dogs"]
    found = [words[i % 4] for i in range(N)]
    return Answers(found, [(words[(i + 1) % 4], words[i % 3]) for i in range(N)])


def _quantiles() -> Answers:
    forecasts = [
        QuantileForecast(row, np.stack([row - 1, row + 1]), (0.1, 0.9))
        for row in RNG.normal(size=(N, 3))
    ]
    return Answers(forecasts, list(RNG.normal(size=(N, 3))))


CASES = [
    (_classes, "accuracy"), (_classes, "auc"), (_classes, "mcc"), (_classes, "ece"),
    (_labels, "map"), (_labels, "f1_micro"), (_values, "rmse"), (_values, "mae"),
    (_maps, "rmse"), (_maps, "delta1"), (_masks, "miou"), (_boxes, "ap50"),
    (_texts, "rouge1"), (_texts, "rougeL"), (_quantiles, "mse"), (_quantiles, "coverage"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "metric"), CASES)
def test_a_metric_over_drawn_samples_is_that_of_their_answers(make: Any, metric: str) -> None:
    answers = make()
    figure = figure_of(answers, metric)
    assert figure.value == pytest.approx(answers.measure(metric))
    rows = np.array([0, 0, 1, 3, 5, 6, 7, 9, 10, 11])
    drawn = Answers([answers.predicted[r] for r in rows], [answers.wanted[r] for r in rows])
    assert figure.measure(rows) == pytest.approx(drawn.measure(metric))


def test_queries_are_drawn_and_what_they_search_stays_the_same() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [1, 0.9]], dtype=float)
    answers = Answers(list(vectors), [Searched(n) for n in (0, 0, 1, 1)])
    figure = figure_of(answers, "recall@1")
    assert figure.samples == 4
    assert figure.value == answers.measure("recall@1")
    assert figure.measure(np.array([0, 0])) == 1.0
