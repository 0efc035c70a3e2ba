"""The trials that a head is chosen from: what is tried, on which data, and what is preferred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from omnivec2.network.config import Summary
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers, fit
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries, Trial
from omnivec2.training.adaptation.fitting.linear_map import PENALTIES
from omnivec2.training.adaptation.fitting.model_selection import trials_of

FEATURES: tuple[Summary, ...] = ("cls", "mean")
TOKENS: tuple[Summary, ...] = ("token_mean", "token_max")
RAW: tuple[Summary, ...] = ("raw",)


def labelled(
    samples: int, classes: int, width: int = 6, *, telling: Sequence[str] = ("token_mean",)
) -> LabelledSummaries:
    """Make summaries in which one number of some separates the classes; the rest is noise."""
    rng = np.random.default_rng(1)
    labels = np.arange(samples) % max(classes, 2)
    found = {n: rng.normal(size=(samples, width)) for n in (*FEATURES, *TOKENS, *RAW)}
    for name in telling:
        found[name][:, 0] += 8.0 * labels
    summaries: dict[Summary, Array] = {n: v.astype(np.float32) for n, v in found.items()}
    return LabelledSummaries(summaries, np.arange(samples), labels, classes)


def trials(
    data: LabelledSummaries, *candidates: tuple[Summary, ...], seconds: float = 60.0
) -> list[Trial]:
    return trials_of(data, candidates, hidden=4, seconds=seconds, seed=0)


def chosen(data: LabelledSummaries, *candidates: tuple[Summary, ...]) -> FittedLayers:
    return fit(
        data, family=TaskFamily.CLASSIFICATION, metric="accuracy", hidden=16, seed=0,
        candidates=candidates,
    )  # fmt: skip


def forms(found: list[Trial]) -> set[tuple[tuple[Summary, ...], bool]]:
    return {(trial.choice.summaries, trial.choice.is_linear) for trial in found}


def test_linear_maps_are_always_tried_and_two_layers_as_far_as_time_allows() -> None:
    data = labelled(40, 2)
    assert forms(trials(data, FEATURES, TOKENS, seconds=0.0)) == {(FEATURES, True), (TOKENS, True)}
    assert forms(trials(data, TOKENS)) == {(TOKENS, True), (TOKENS, False)}


def test_few_labels_do_not_try_two_layers_on_more_numbers() -> None:
    data = labelled(30, 2, width=250)
    assert forms(trials(data, TOKENS)) == {(TOKENS, True)}


def test_of_many_combinations_the_best_the_input_and_one_of_the_trunk_get_all_folds() -> None:
    data = labelled(60, 2)
    candidates = [RAW, FEATURES, ("cls",), TOKENS, ("token_mean",)]
    found = trials(data, *candidates, seconds=0.0)
    tried = {trial.choice.summaries for trial in found}
    assert {TOKENS, ("token_mean",), RAW} < tried
    assert len(tried & {FEATURES, ("cls",)}) == 1
    for trial in found:
        assert np.isfinite(trial.predicted).all()


def test_weaker_penalties_are_not_tried_once_they_are_worse() -> None:
    data = labelled(60, 2, telling=())
    tried = [trial.choice.weight_decay for trial in trials(data, FEATURES, seconds=0.0)]
    assert len(tried) < len(PENALTIES["classes"])
    assert tried == list(PENALTIES["classes"][: len(tried)])


def test_the_only_input_of_a_class_is_not_validated_on() -> None:
    data = labelled(31, 3)
    data.labels[data.labels == 2] = 0
    data.labels[7] = 2
    for trial in trials(data, TOKENS):
        assert np.isfinite(trial.loss)
        assert np.isnan(trial.predicted[7]).all()


def test_a_regression_on_the_input_itself_is_kept_unless_something_is_clearly_better() -> None:
    equal = chosen(labelled(60, 2, telling=("raw", "token_mean")), TOKENS, RAW)
    assert (equal.choice.summaries, equal.choice.is_linear) == (RAW, True)
    assert equal.choice.weight_decay == 1.0
    better = chosen(labelled(60, 2), TOKENS, RAW)
    assert better.choice.summaries == TOKENS


def test_the_best_that_looks_at_the_trunk_is_known_where_the_choice_does_not() -> None:
    found = chosen(labelled(60, 2), FEATURES, TOKENS)
    assert not found.looks_at_trunk
    assert found.with_trunk is not None
    choice, value = found.with_trunk
    assert choice.summaries == FEATURES
    assert value == pytest.approx(0.5, abs=0.25)
    assert found.metric > 0.95
    assert chosen(labelled(60, 2), TOKENS).with_trunk is None
