"""Trials of linear maps: every combination of summaries in one fold, the best in all folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from omnivec2.network.config import Summary
from omnivec2.network.fc_head import TRUNK_SUMMARIES
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.answer_forms import layer_losses
from omnivec2.training.adaptation.fitting.labelled_summaries import Choice, LabelledSummaries, Trial
from omnivec2.training.adaptation.fitting.linear_map import PENALTIES, LinearPath

RAW: tuple[Summary, ...] = ("raw",)

_FINALISTS = 2
"""Combinations that are validated in all folds, beside the input itself and the best that looks
at the trunk."""

_WORSE_IN_A_ROW = 2
"""Penalties that validate worse than the best after which weaker ones are not tried."""


def linear_trials(
    data: LabelledSummaries,
    candidates: Sequence[tuple[Summary, ...]],
    folds: Sequence[Array],
    advance: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Return the trials of linear maps.

    Args:
        data: The training part.
        candidates: The combinations of summaries.
        folds: The masks of the samples that each fold holds out, bool [samples].
        advance: A callback after every candidate.
    """
    validations = []
    for names in candidates:
        validation = _LinearValidation(data, names)
        validation.screen(folds[0])
        validations.append(validation)
        advance()
    finalists = _finalists(validations) if len(folds) > 1 else validations
    for validation in finalists:
        for held in folds[1:]:
            validation.add(held)
    return [trial for validation in finalists for trial in validation.trials()]


def _finalists(validations: Sequence[_LinearValidation]) -> list[_LinearValidation]:
    """Return the validations that are worth all folds, the best first."""
    ranked = sorted(validations, key=lambda validation: validation.best_loss)
    kept = ranked[:_FINALISTS]
    kept += [v for v in ranked if v.names == RAW and v not in kept]
    if not any(TRUNK_SUMMARIES & set(v.names) for v in kept):
        kept += [v for v in ranked if TRUNK_SUMMARIES & set(v.names)][:1]
    return kept


class _LinearValidation:
    """Linear maps of one combination of summaries, with every penalty that may be the best."""

    def __init__(self, data: LabelledSummaries, names: tuple[Summary, ...]) -> None:
        self.data, self.names = data, names
        x, self.y = (part.numpy() for part in data.standardised(names))
        self.weights = data.weights(False)
        self.path = LinearPath(x, self.y, self.weights, classes=data.classes)
        self.penalties: tuple[float, ...] = PENALTIES["classes" if data.classes else "quantities"]
        self.answers: list[Array] = []
        self.best_loss = np.inf

    def screen(self, held: Array) -> None:
        """Try penalties from strong to weak in one fold, until they are worse."""
        best = 0
        for number, answers in enumerate(self.path.answers(held, self.penalties)):
            known = np.full((len(held), self.data.outputs), np.nan)
            known[held] = answers
            self.answers.append(known)
            loss = self._loss(known)
            if loss < self.best_loss:
                self.best_loss, best = loss, number
            if number - best >= _WORSE_IN_A_ROW and self.names != RAW:
                break
        self.penalties = self.penalties[: len(self.answers)]

    def add(self, held: Array) -> None:
        """Answer the samples of one more fold."""
        for known, answers in zip(
            self.answers, self.path.answers(held, self.penalties), strict=True
        ):
            known[held] = answers

    def trials(self) -> list[Trial]:
        """Return a trial per penalty."""
        found = []
        for penalty, answers in zip(self.penalties, self.answers, strict=True):
            choice = Choice(self.names, penalty, class_weights=False, is_linear=True)
            known = answers.astype(np.float32)
            found.append(Trial(choice, self._loss(answers), known, self.data.by_item(known)))
        return found

    def _loss(self, answers: Array) -> float:
        """Return the mean loss over the samples that have an answer."""
        rows = np.flatnonzero(np.isfinite(answers[:, 0]))
        of_rows = torch.from_numpy(answers[rows]).float()
        losses = layer_losses(of_rows[None], torch.from_numpy(self.y[rows]))[0].numpy()
        return float(np.average(losses, weights=self.weights[rows]))
