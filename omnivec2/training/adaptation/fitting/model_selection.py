"""Trials of all settings, on labelled inputs that were not fitted to.

Labels are few, so every one of them is validated on: under 2,000 inputs, in five folds; from
2,000 on, one share is held out.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.config import Summary
from omnivec2.network.fc_head import TOKEN_SUMMARIES
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.fitting.batched_layers import BatchedLayers
from omnivec2.training.adaptation.fitting.labelled_summaries import Choice, LabelledSummaries, Trial
from omnivec2.training.adaptation.fitting.linear_map import validated
from omnivec2.training.adaptation.reading.read_data import folds_of

FOLDS = 5
MEMBERS = 4
"""The number of starts that the written layers are the mean of; a trial is one of their width."""

_ALL_FOLDS_BELOW = 2000
_DECAYS = (0.1, 1.5, 15.0)
_STEPS = 300
_STEPS_OF_MANY = 1000
_MEASURE_EVERY_STEPS = 5
_PATIENCE = 60
"""Steps without improvement of every choice after which training stops."""

_UNBALANCED = 1.5
"""Ratio of the largest to the smallest class from which class weights are tried."""

_MOST_WORK = 10_000_000
"""Samples x numbers x outputs up to which a linear map is tried: logistic regressions pass over
them hundreds of times, in all folds and with all penalties, which takes ten seconds by then."""


def trials_of(
    data: LabelledSummaries, names: tuple[Summary, ...], hidden: int, seed: int
) -> list[Trial]:
    """Return the trials of all settings with some summaries.

    Args:
        data: The training part.
        names: The names of the summaries.
        hidden: The width between the layers that are written, a multiple of ``MEMBERS``.
        seed: The seed of the folds, the start and the order.
    """
    trials = _linear_trials(data, names, seed) if is_linear_map_tried(data, names, hidden) else []
    # Few labels do not suffice to fit a nonlinear map of over a thousand numbers.
    if not trials or not any(name in TOKEN_SUMMARIES for name in names):
        trials += _Validation(data, names, hidden // MEMBERS, seed).run()
    return trials


def is_linear_map_tried(data: LabelledSummaries, names: tuple[Summary, ...], hidden: int) -> bool:
    """Whether a linear map is worth its time, and fits into the layers."""
    samples = len(data.item)
    numbers = min(samples, sum(data.summaries[name].shape[1] for name in names))
    return (
        len(data.labels) < _ALL_FOLDS_BELOW
        and samples * numbers * data.outputs <= _MOST_WORK
        and 2 * data.outputs <= hidden
    )


def choices(data: LabelledSummaries, names: tuple[Summary, ...]) -> list[Choice]:
    """Return all settings that two layers are tried with."""
    counts = np.bincount(data.labels, minlength=data.classes) if data.classes else np.ones(1)
    unbalanced = counts.max() > _UNBALANCED * max(1, counts.min())
    weighted = (False, True) if unbalanced else (False,)
    return [Choice(names, *parts) for parts in itertools.product(_DECAYS, weighted)]


class _Validation:
    """The validation of all choices, which are trained side by side in all folds."""

    def __init__(
        self, data: LabelledSummaries, names: tuple[Summary, ...], hidden: int, seed: int
    ) -> None:
        self.data = data
        self.choices = choices(data, names)
        folds = folds_of(data.strata, FOLDS, seed=seed)[data.item]
        self.used = range(FOLDS if len(data.labels) < _ALL_FOLDS_BELOW else 1)
        many = len(data.item) > _ALL_FOLDS_BELOW
        self.longest = _STEPS_OF_MANY if many else _STEPS
        plain = torch.from_numpy(data.weights(False))
        held = [torch.from_numpy(folds == fold) for fold in self.used]
        fitted = torch.stack(
            [
                torch.from_numpy(data.weights(choice.class_weights)) * ~h
                for choice in self.choices
                for h in held
            ]
        )
        x, y = data.standardised(names)
        self.layers = BatchedLayers(
            x, y, fitted, [c.weight_decay for c in self.choices for _ in held],
            hidden=hidden, outputs=data.outputs, seed=seed,
        )  # fmt: skip
        self.held_rows = torch.nonzero(torch.stack(held).any(dim=0))[:, 0]
        self.x_AD, self.y_A = x[self.held_rows], y[self.held_rows]
        self.held_KA = torch.stack(
            [(h * plain)[self.held_rows] for _ in self.choices for h in held]
        )

    def run(self) -> list[Trial]:
        """Return every choice with the number of steps that gave its folds the least mean loss."""
        best = [Trial(choice, np.inf, np.empty((0, 0))) for choice in self.choices]
        improved = 0
        for step in range(1, self.longest + 1):
            self.layers.step()
            if step % _MEASURE_EVERY_STEPS:
                continue
            losses, answers = self._measure()
            for index, trial in enumerate(best):
                if losses[index] < trial.loss - 1e-6:
                    improved = step
                    choice = replace(trial.choice, steps=step)
                    best[index] = Trial(choice, losses[index], self._predicted(answers, index))
            if step - improved > _PATIENCE:
                break
        return best

    @torch.no_grad()
    def _measure(self) -> tuple[list[float], Tensor]:
        """Return the mean loss of each choice on what its folds held out, and all answers."""
        answers = self.layers.answers(self.x_AD)
        weighted = BatchedLayers.losses(answers, self.y_A) * self.held_KA
        shape = (len(self.choices), -1)
        total = weighted.sum(1).reshape(shape).sum(1) / self.held_KA.sum(1).reshape(shape).sum(1)
        return total.tolist(), answers

    def _predicted(self, answers: Tensor, index: int) -> Array:
        """Return each item's answer by the model not fitted to it: [items, outputs]."""
        folds = slice(index * len(self.used), (index + 1) * len(self.used))
        model, row = torch.nonzero(self.held_KA[folds], as_tuple=True)
        held_answers = answers[folds][model, row]
        return self.data.by_item(held_answers.numpy(), self.held_rows[row].numpy())


def _linear_trials(data: LabelledSummaries, names: tuple[Summary, ...], seed: int) -> list[Trial]:
    """Return linear maps with every penalty, validated in the same folds."""
    x, y = (part.numpy() for part in data.standardised(names))
    weights = data.weights(False)
    folds = folds_of(data.strata, FOLDS, seed=seed)[data.item]
    held = [folds == fold for fold in range(FOLDS) if (folds == fold).any()]
    validated_rows = np.flatnonzero(folds >= 0)
    trials = []
    for penalty, answers in validated(x, y, weights, held, classes=data.classes):
        held_answers = torch.from_numpy(answers[validated_rows]).float()
        targets = torch.from_numpy(y[validated_rows])
        losses = BatchedLayers.losses(held_answers[None], targets)[0].numpy()
        loss = float(np.average(losses, weights=weights[validated_rows]))
        choice = Choice(names, penalty, class_weights=False, is_linear=True)
        trials.append(Trial(choice, loss, data.by_item(held_answers.numpy(), validated_rows)))
    return trials
