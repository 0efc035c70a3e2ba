"""Summaries of labelled inputs, and the choices and trials of fitting layers to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.config import Summary
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.answer_forms import (
    AnswerForm,
    form_of,
    mean_by_item,
    probabilities,
    strata_of,
)
from omnivec2.training.adaptation.fitting.frozen_summaries import joined
from omnivec2.training.adaptation.fitting.kept_summaries import Summaries
from omnivec2.training.evaluation.quality_metrics import METRICS

_LIMITS_OF_WEIGHTS = (0.01, 100.0)
"""The lightest and the heaviest forecast, in units of the mean weight."""


@dataclass(frozen=True)
class Choice:
    """The settings that layers are fitted with."""

    summaries: tuple[Summary, ...]
    weight_decay: float
    class_weights: bool
    steps: int = 0
    is_linear: bool = False
    """Whether the layers are a linear map, with ``weight_decay`` as its penalty."""


@dataclass(frozen=True)
class LabelledSummaries:
    """Summaries of labelled inputs.

    Attributes:
        summaries: The summaries of every sample.
        item: The input that each sample belongs to, int64 [samples].
        labels: The labels of the items, as :class:`AnswerForm` has them.
        classes: The number of classes or tags; 0 for quantities.
        folds: The fold that each item is validated in, int64 [items], -1 for none; None where
            folds are drawn.
        scales: The divisors of a forecast's errors before a metric, float32 [items]; errors that
            are divided by less count more.
    """

    summaries: Summaries
    item: Array
    labels: Array
    classes: int
    folds: Array | None = None
    scales: Array | None = None

    @property
    def form(self) -> AnswerForm:
        """The form of the answers."""
        return form_of(self.labels)

    @property
    def strata(self) -> Array:
        """The classes that folds are balanced by; all 0 for tags and quantities."""
        return strata_of(self.labels)

    @property
    def outputs(self) -> int:
        """The number of classes or quantities."""
        return self.classes or int(self.labels.shape[1])

    def weights(self, class_weights: bool) -> Array:
        """Return sample weights, float32 [samples]: every input counts once.

        Args:
            class_weights: Whether every class counts once too.
        """
        weights = 1.0 / np.bincount(self.item, minlength=len(self.labels))[self.item]
        if self.scales is not None:
            importance = np.square(1.0 / self.scales)
            lightest, heaviest = (limit * importance.mean() for limit in _LIMITS_OF_WEIGHTS)
            weights = weights * np.clip(importance, lightest, heaviest)[self.item]
        if class_weights:
            classes = self.labels[self.item]
            weights = weights / np.bincount(classes, weights)[classes]
        return np.asarray(weights / weights.mean(), dtype=np.float32)

    def target_scale(self) -> tuple[Array, Array]:
        """Return mean and deviation of quantities; 0 and 1 for classes."""
        if self.classes:
            return np.zeros(self.classes, np.float32), np.ones(self.classes, np.float32)
        return self.labels.mean(axis=0), np.maximum(self.labels.std(axis=0), 1e-6)

    def standardised(self, names: tuple[Summary, ...]) -> tuple[Tensor, Tensor]:
        """Return chosen summaries and the targets of all samples, in standard units."""
        x = torch.from_numpy(joined(self.summaries, names))
        mean, std = constants_of(x)
        labels = self.labels[self.item]
        if self.classes:
            return (x - mean) / std, torch.from_numpy(labels)
        location, scale = self.target_scale()
        return (x - mean) / std, torch.from_numpy((labels - location) / scale)

    def measure(self, metric: str, predicted: Array) -> float:
        """Return a metric of the answers [items, outputs] that are not NaN."""
        known = np.isfinite(predicted[:, 0])
        scales = None if self.scales is None else self.scales[known]
        return measure_answers(metric, predicted[known], self.labels[known], scales)

    def by_item(self, answers: Array) -> Array:
        """Average answers to samples to answers to inputs.

        Args:
            answers: The logits, or quantities in standard units, [samples, outputs]; NaN for
                samples without an answer.

        Returns:
            Probabilities or quantities, [items, outputs]; NaN for inputs without an answer.
        """
        rows = np.flatnonzero(np.isfinite(answers[:, 0]))
        if self.classes:
            values = probabilities(answers[rows], self.form)
        else:
            location, scale = self.target_scale()
            values = answers[rows] * scale + location
        predicted = np.full((len(self.labels), self.outputs), np.nan)
        items, means = mean_by_item(values, self.item[rows])
        predicted[items] = means
        return predicted


@dataclass(frozen=True)
class Trial:
    """A choice at its best: loss and answers on inputs that were not fitted to.

    Attributes:
        choice: The settings that were tried.
        loss: The mean loss over the inputs that were validated on.
        answers: The logits, or quantities in standard units, float32 [samples, outputs]; NaN for
            samples that were not validated on.
        predicted: The probabilities, or quantities, [items, outputs]; NaN likewise.
    """

    choice: Choice
    loss: float
    answers: Array
    predicted: Array


def constants_of(summaries: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of summaries (S, D), the latter kept away from 0.

    A number that varies by less than a thousandth of its size is mostly rounding, which differs
    from one engine to the next, and must not be amplified.
    """
    mean, deviation = summaries.mean(dim=0), summaries.std(dim=0, unbiased=False)
    size = max(float(deviation.max()), float(mean.square().mean().sqrt()))
    return mean, deviation.clamp(min=1e-3 * size + 1e-6)


def measure_answers(
    metric: str, predicted: Array, labels: Array, scales: Array | None = None
) -> float:
    """Return a metric of answers.

    Args:
        metric: The name of the metric.
        predicted: The probabilities or quantities, [n, outputs].
        labels: The labels, as :class:`AnswerForm` has them.
        scales: The divisors of a forecast's errors, [n].
    """
    if scales is not None:
        predicted, labels = predicted / scales[:, None], labels / scales[:, None]
    return METRICS[metric].measure(predicted, labels)


def scale_of(labels: Array) -> Array:
    """Return the deviation of quantities, kept away from 0; it is not used for classes."""
    return np.asarray(np.maximum(labels.std(axis=0), 1e-6))
