"""A linear map as two layers: it is what scikit-learn finds, and is tried where labels are few."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.fitting import linear_map
from omnivec2.training.adaptation.fitting.linear_map import (
    PENALTIES,
    LinearMap,
    LinearPath,
    fit_linear_map,
)

WIDE = (40, 90)
"""Samples and summaries, as where labels are few."""


def samples(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Summaries and how much each sample counts."""
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32), rng.uniform(0.5, 2.0, shape[0])


def head_of(found: LinearMap) -> FullyConnectedHead:
    outputs, size = found.weight.shape
    config = HeadConfig(
        family=TaskFamily.EMBEDDING, tokenizer="", layers="fc", outputs=outputs,
        hidden=2 * outputs, summaries=("mean",),
    )  # fmt: skip
    head = FullyConnectedHead(config, size).requires_grad_(False)
    found.set_into(head)
    return head


def probabilities(found: LinearMap, x: Array) -> Array:
    return head_of(found).layers(torch.from_numpy(x)).softmax(dim=1).numpy()


@pytest.mark.parametrize("shape", [WIDE, (120, 10)])
@pytest.mark.parametrize(
    ("known", "classes"), [([0, 1, 2], 3), ([0, 1], 2), ([1, 3], 5), ([0, 2, 3], 4)]
)
def test_the_head_gives_the_probabilities_of_a_logistic_regression(
    shape: tuple[int, int], known: list[int], classes: int
) -> None:
    x, weights = samples(shape)
    labels = np.array(known)[np.arange(len(x)) % len(known)]
    found = fit_linear_map(x, labels, weights, 3.0, classes=classes)
    exact = LogisticRegression(C=1 / 3.0, tol=1e-8, max_iter=10_000)
    wanted = np.zeros((len(x), classes))
    wanted[:, known] = exact.fit(x.astype(np.float64), labels, weights).predict_proba(x)
    np.testing.assert_allclose(probabilities(found, x), wanted, atol=1e-5)


def test_where_all_labels_are_of_one_class_it_is_the_answer() -> None:
    x, weights = samples(WIDE)
    found = fit_linear_map(x, np.full(len(x), 2), weights, 1.0, classes=3)
    np.testing.assert_array_equal(probabilities(found, x).round(9), np.eye(3)[[2] * len(x)])


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("shape", [WIDE, (120, 10)])
def test_the_head_gives_the_values_of_a_ridge_regression(
    shape: tuple[int, int], outputs: int
) -> None:
    x, weights = samples(shape)
    y = (x[:, :outputs] + 0.5 * x[:, 3:4] ** 2 + 2.0).astype(np.float32)
    found = fit_linear_map(x, y, weights, 2.0, classes=0)
    exact = Ridge(alpha=2.0, solver="svd").fit(x.astype(np.float64), y, weights)
    wanted = exact.predict(x).reshape(-1, outputs)
    answers = head_of(found).layers(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(answers, wanted, atol=1e-5)


def test_every_sample_is_answered_by_a_map_that_was_not_fitted_to_it() -> None:
    x, weights = samples(WIDE)
    labels = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    number = np.arange(len(x)) % 4 - 1
    path = LinearPath(x, labels, weights, classes=2)
    for fold in range(3):
        held = number == fold
        answers = path.answers(held, PENALTIES["classes"])
        for penalty, of_held in zip(PENALTIES["classes"], answers, strict=True):
            exact = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
            exact.fit(x[~held].astype(np.float64), labels[~held], weights[~held])
            logit = of_held[:, 1] - of_held[:, 0]
            np.testing.assert_allclose(
                1 / (1 + np.exp(-logit)), exact.predict_proba(x[held])[:, 1], atol=5e-3
            )


def test_many_samples_of_many_classes_are_fitted_on_their_principal_axes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear_map, "_LEAST_AXES", 5)
    monkeypatch.setattr(linear_map, "_MOST_NUMBERS", 0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 30)).astype(np.float32) * 0.1
    labels = np.arange(80) % 2
    x[:, 0] += 3.0 * labels
    found = fit_linear_map(x, labels, np.ones(80), 1.0, classes=2)
    assert np.linalg.matrix_rank(found.weight[1:] - found.weight[:1]) == 1
    assert (found.answers(x).argmax(axis=1) == labels).all()
    assert LinearPath(x, labels, np.ones(80), classes=2).turned.shape == (80, 5)
