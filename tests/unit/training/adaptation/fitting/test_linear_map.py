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
from omnivec2.training.adaptation.fitting.fit_layers import answers_of, fit
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries
from omnivec2.training.adaptation.fitting.linear_map import (
    PENALTIES,
    LinearMap,
    fit_linear_map,
    validated,
)
from omnivec2.training.adaptation.fitting.model_selection import is_linear_map_tried, trials_of

TOKENS = ("token_mean", "token_max")
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
    held = [number == fold for fold in range(3)]
    found = dict(validated(x, labels, weights, held, classes=2))
    assert tuple(found) == PENALTIES["classes"]
    for penalty, answers in found.items():
        assert np.isnan(answers[number < 0]).all()
        exact = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
        for rows in held:
            exact.fit(x[~rows].astype(np.float64), labels[~rows], weights[~rows])
            logit = answers[rows, 1] - answers[rows, 0]
            np.testing.assert_allclose(
                1 / (1 + np.exp(-logit)), exact.predict_proba(x[rows])[:, 1], atol=1e-4
            )


def labelled(samples: int, classes: int, width: int = 6) -> LabelledSummaries:
    """Make summaries in which one number of the tokens separates the classes; the rest is noise."""
    rng = np.random.default_rng(1)
    labels = np.arange(samples) % max(classes, 2)
    found = {name: rng.normal(size=(samples, width)) for name in ("cls", "mean", *TOKENS)}
    found["token_mean"][:, 0] += 8.0 * labels
    summaries = {name: values.astype(np.float32) for name, values in found.items()}
    return LabelledSummaries(summaries, np.arange(samples), labels, classes)


def test_a_linear_map_is_tried_where_labels_are_few_and_the_work_is_small() -> None:
    few = labelled(60, 3)
    assert is_linear_map_tried(few, TOKENS, hidden=16)
    assert not is_linear_map_tried(few, TOKENS, hidden=4)
    assert not is_linear_map_tried(labelled(2000, 3), TOKENS, hidden=16)
    assert is_linear_map_tried(labelled(1900, 3, width=800), TOKENS, hidden=16)
    assert not is_linear_map_tried(labelled(1900, 4, width=800), TOKENS, hidden=16)


def test_few_labels_try_two_layers_on_features_but_only_a_line_on_tokens() -> None:
    data = labelled(30, 2)
    tried = {
        names: {trial.choice.is_linear for trial in trials_of(data, names, 16, 0)}
        for names in (("cls", "mean"), TOKENS)
    }
    assert tried == {("cls", "mean"): {False, True}, TOKENS: {True}}
    without_a_line = trials_of(data, TOKENS, 3, 0)
    assert {trial.choice.is_linear for trial in without_a_line} == {False}


def test_the_only_input_of_a_class_is_not_validated_on() -> None:
    data = labelled(31, 3)
    data.labels[data.labels == 2] = 0
    data.labels[7] = 2
    for trial in trials_of(data, TOKENS, 16, 0):
        assert np.isfinite(trial.loss)
        assert np.isnan(trial.predicted[7]).all()
        assert np.isfinite(np.delete(trial.predicted, 7, axis=0)).all()


def test_the_linear_map_that_was_best_is_fitted_to_everything() -> None:
    data = labelled(60, 3)
    found = fit(
        data, family=TaskFamily.CLASSIFICATION, metric="accuracy", hidden=16, seed=0,
        candidates=[("cls", "mean"), TOKENS],
    )  # fmt: skip
    assert found.choice.is_linear
    assert found.choice.summaries == TOKENS
    assert found.metric > 0.9
    rows = torch.from_numpy(np.concatenate([data.summaries[name] for name in TOKENS], axis=1))
    _, answers = answers_of(found.head, rows, data.item)
    x, y = (part.numpy() for part in data.standardised(TOKENS))
    exact = LogisticRegression(C=1 / found.choice.weight_decay, tol=1e-8, max_iter=10_000)
    np.testing.assert_allclose(answers, exact.fit(x, y).predict_proba(x), atol=1e-4)
