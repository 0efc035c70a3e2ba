"""Trials of all settings, on labelled inputs that were not fitted to.

Linear maps come first: they take seconds. Two layers are then trained on the combinations of
summaries that did best, as far as the work fits into the time of the search. Labels are few, so
every one of them is validated on: under 2,000 inputs, in five folds; from 2,000 on, one share
is held out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.config import Summary
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.answer_forms import AnswerForm, layer_losses
from omnivec2.training.adaptation.fitting.batched_layers import BATCH, BatchedLayers
from omnivec2.training.adaptation.fitting.labelled_summaries import Choice, LabelledSummaries, Trial
from omnivec2.training.adaptation.fitting.linear_trials import linear_trials
from omnivec2.training.adaptation.reading.validation_folds import FOLDS, folds_of

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

_MOST_COMBINATIONS = 3
"""Combinations of summaries that two layers are tried on."""

_FEW_NUMBERS = 400
"""Numbers that two layers are tried on however few the labels; more need as many labels."""

_OPERATIONS_PER_SECOND = 2e10
"""What one core of 2023 does of small matrices; a nominal figure, so that results do not depend on
how busy a machine is."""


def trials_of(
    data: LabelledSummaries,
    candidates: Sequence[tuple[Summary, ...]],
    *,
    hidden: int,
    seconds: float,
    seed: int,
    linear: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Return the trials of all settings.

    Args:
        data: The training part.
        candidates: The combinations of summaries to choose from.
        hidden: The width between the two layers of a trial.
        seconds: The nominal time that two layers may take beside the linear maps.
        seed: The seed of the folds, the start and the order.
        linear: Whether linear maps are tried; if not, two layers are tried on the combinations in
            their order.
        advance: A callback after every candidate.
    """
    held = _held_samples(data, seed)
    trials = linear_trials(data, candidates, held, advance) if linear else []
    ranked = dict.fromkeys(t.choice.summaries for t in sorted(trials, key=lambda t: t.loss))
    if not linear:
        ranked = dict.fromkeys(candidates)
    for names in list(ranked)[:_MOST_COMBINATIONS]:
        validation = _Validation(data, names, hidden, held, seed)
        if validation.numbers > max(_FEW_NUMBERS, len(data.labels)):
            continue
        if validation.seconds <= seconds:
            seconds -= validation.seconds
            trials += validation.run()
    return trials


def _held_samples(data: LabelledSummaries, seed: int) -> list[Array]:
    """Return the masks of the samples that each fold holds out, bool [samples]."""
    folds = folds_of(data.strata, FOLDS, seed=seed) if data.folds is None else data.folds
    used = int(folds.max()) + 1 if len(data.labels) < _ALL_FOLDS_BELOW else 1
    return [mask for fold in range(used) if (mask := folds[data.item] == fold).any()]


def choices(data: LabelledSummaries, names: tuple[Summary, ...]) -> list[Choice]:
    """Return all settings that two layers are tried with."""
    is_class = data.form is AnswerForm.CLASS
    counts = np.bincount(data.labels, minlength=data.classes) if is_class else np.ones(1)
    unbalanced = counts.max() > _UNBALANCED * max(1, counts.min())
    weighted = (False, True) if unbalanced else (False,)
    return [Choice(names, *parts) for parts in itertools.product(_DECAYS, weighted)]


class _Validation:
    """The validation of all choices, which are trained side by side in all folds."""

    def __init__(
        self,
        data: LabelledSummaries,
        names: tuple[Summary, ...],
        hidden: int,
        held: Sequence[Array],
        seed: int,
    ) -> None:
        self.data, self.hidden, self.seed = data, hidden, seed
        self.choices = choices(data, names)
        self.held = [torch.from_numpy(mask) for mask in held]
        many = len(data.item) > _ALL_FOLDS_BELOW
        self.longest = _STEPS_OF_MANY if many else _STEPS
        self.x, self.y = data.standardised(names)

    @property
    def numbers(self) -> int:
        """The size of the summaries."""
        return self.x.shape[1]

    @property
    def seconds(self) -> float:
        """The nominal time of all steps: three products of matrices per layer and step."""
        rows = min(BATCH, len(self.x)) * len(self.choices) * len(self.held)
        per_row = 6 * self.hidden * (self.numbers + self.data.outputs)
        return rows * per_row * self.longest / _OPERATIONS_PER_SECOND

    def run(self) -> list[Trial]:
        """Return every choice with the number of steps that gave its folds the least mean loss."""
        layers = self._layers()
        nothing = np.empty((0, 0))
        best = [Trial(choice, np.inf, nothing, nothing) for choice in self.choices]
        improved = 0
        for step in range(1, self.longest + 1):
            layers.step()
            if step % _MEASURE_EVERY_STEPS:
                continue
            losses, answers = self._measure(layers)
            for index, trial in enumerate(best):
                if losses[index] < trial.loss - 1e-6:
                    improved = step
                    choice = replace(trial.choice, steps=step)
                    known = self._known(answers, index)
                    best[index] = Trial(choice, losses[index], known, self.data.by_item(known))
            if step - improved > _PATIENCE:
                break
        return best

    def _layers(self) -> BatchedLayers:
        """Return a pair of layers per choice and fold, at their start."""
        data = self.data
        plain = torch.from_numpy(data.weights(False))
        fitted = torch.stack(
            [
                torch.from_numpy(data.weights(choice.class_weights)) * ~held
                for choice in self.choices
                for held in self.held
            ]
        )
        self.held_rows = torch.nonzero(torch.stack(self.held).any(dim=0))[:, 0]
        self.x_AD, self.y_A = self.x[self.held_rows], self.y[self.held_rows]
        self.held_KA = torch.stack(
            [(held * plain)[self.held_rows] for _ in self.choices for held in self.held]
        )
        return BatchedLayers(
            self.x, self.y, fitted, [c.weight_decay for c in self.choices for _ in self.held],
            hidden=self.hidden, outputs=data.outputs, seed=self.seed,
        )  # fmt: skip

    @torch.no_grad()
    def _measure(self, layers: BatchedLayers) -> tuple[list[float], Tensor]:
        """Return the mean loss of each choice on what its folds held out, and all answers."""
        answers = layers.answers(self.x_AD)
        weighted = layer_losses(answers, self.y_A) * self.held_KA
        shape = (len(self.choices), -1)
        total = weighted.sum(1).reshape(shape).sum(1) / self.held_KA.sum(1).reshape(shape).sum(1)
        return total.tolist(), answers

    def _known(self, answers: Tensor, index: int) -> Array:
        """Return each sample's answer by the model not fitted to it: [samples, outputs]."""
        folds = slice(index * len(self.held), (index + 1) * len(self.held))
        model, row = torch.nonzero(self.held_KA[folds], as_tuple=True)
        known = np.full((len(self.x), self.data.outputs), np.nan, dtype=np.float32)
        known[self.held_rows[row].numpy()] = answers[folds][model, row].numpy()
        return known
