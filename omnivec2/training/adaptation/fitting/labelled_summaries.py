"""Summaries of labelled inputs, and the choices and trials of fitting layers to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.config import Summary
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.fitting.frozen_summaries import Summaries, joined


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
        labels: The classes, int64 [items], or the quantities, float32 [items, targets].
        classes: The number of classes; 0 for quantities.
    """

    summaries: Summaries
    item: Array
    labels: Array
    classes: int

    @property
    def strata(self) -> Array:
        """The classes that folds are balanced by; all 0 for quantities."""
        return self.labels if self.classes else np.zeros(len(self.labels), dtype=np.int64)

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

    def by_item(self, answers: Array, rows: Array) -> Array:
        """Average answers to some samples to answers to inputs.

        Args:
            answers: The logits, or quantities in standard units, [rows, outputs].
            rows: The samples they are answers to.

        Returns:
            Probabilities or quantities, [items, outputs]; NaN for inputs without an answer.
        """
        if self.classes:
            values = torch.from_numpy(answers).softmax(dim=1).numpy()
        else:
            location, scale = self.target_scale()
            values = answers * scale + location
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
        predicted: The answers, [items, outputs]; NaN for inputs that were not validated on.
    """

    choice: Choice
    loss: float
    predicted: Array


def constants_of(summaries: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of summaries (S, D), the latter kept away from 0.

    A number that varies by less than a thousandth of its size is mostly rounding, which differs
    from one engine to the next, and must not be amplified.
    """
    mean, deviation = summaries.mean(dim=0), summaries.std(dim=0, unbiased=False)
    size = max(float(deviation.max()), float(mean.square().mean().sqrt()))
    return mean, deviation.clamp(min=1e-3 * size + 1e-6)


def mean_by_item(values: Array, item: Array) -> tuple[Array, Array]:
    """Average the rows of each item: items in their order, and float64 [items, ...]."""
    items, number, counts = np.unique(item, return_inverse=True, return_counts=True)
    total = np.zeros((len(items), values.shape[1]))
    np.add.at(total, number, values)
    return items, total / counts[:, None]


def losses_of(predicted: Array, labels: Array, scale: Array) -> Array:
    """Return the loss of every input, [n].

    Args:
        predicted: The probabilities [n, classes], or the values [n, targets].
        labels: The classes [n], or the values [n, targets].
        scale: The deviation of the values, in units of which errors are squared.
    """
    if labels.ndim == 1:
        of_label = predicted[np.arange(len(labels)), labels]
        # NaN stays NaN: the loss of an input without an answer is not known.
        return np.asarray(-np.log(np.where(of_label < 1e-9, 1e-9, of_label)))
    return np.asarray(np.square((predicted - labels) / scale).mean(axis=1))


def scale_of(labels: Array) -> Array:
    """Return the deviation of quantities, kept away from 0; it is not used for classes."""
    return np.asarray(np.maximum(labels.std(axis=0), 1e-6))
