"""The forms of a head's answers to one input: one class, any number of tags, or quantities.

What depends on the form is here: the loss that layers are fitted with, how outputs become
probabilities, and the usual metric.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import torch.nn.functional as F
from scipy.special import expit, softmax
from torch import Tensor

from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily


class AnswerForm(StrEnum):
    """The form of the answer to one input.

    Labels are int64 [items] for a class, uint8 [items, tags] of zeros and ones for tags, and
    float32 [items, outputs] for quantities; the steps of a forecast are quantities, too.
    """

    CLASS = "class"
    TAGS = "tags"
    QUANTITIES = "quantities"


def form_of(labels: Array | Tensor) -> AnswerForm:
    """Return the form that labels have."""
    if labels.ndim == 1:
        return AnswerForm.CLASS
    is_real = isinstance(labels, Tensor) and labels.is_floating_point()
    if is_real or (isinstance(labels, np.ndarray) and labels.dtype.kind == "f"):
        return AnswerForm.QUANTITIES
    return AnswerForm.TAGS


def strata_of(labels: Array) -> Array:
    """Return the classes that folds are balanced by; all 0 for tags and quantities."""
    is_class = form_of(labels) is AnswerForm.CLASS
    return labels if is_class else np.zeros(len(labels), dtype=np.int64)


def usual_metric(form: AnswerForm, family: TaskFamily) -> str:
    """Return the metric that is reported unless another is named."""
    if family is TaskFamily.FORECASTING:
        return "mse"
    return {AnswerForm.CLASS: "accuracy", AnswerForm.TAGS: "map", AnswerForm.QUANTITIES: "rmse"}[
        form
    ]


def layer_losses(found_KBC: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of K models on B samples, (K, B).

    Args:
        found_KBC: The outputs: logits, or quantities in standard units.
        wanted: The labels (B) or (B, C), which state their form.
    """
    models, samples, outputs = found_KBC.shape
    form = form_of(wanted)
    if form is AnswerForm.QUANTITIES:
        return (found_KBC - wanted).square().mean(dim=2)
    if form is AnswerForm.TAGS:
        applies = wanted.to(found_KBC.dtype).expand_as(found_KBC)
        return F.binary_cross_entropy_with_logits(found_KBC, applies, reduction="none").mean(dim=2)
    repeated = wanted.expand(models, samples).reshape(-1)
    flat = F.cross_entropy(found_KBC.reshape(-1, outputs), repeated, reduction="none")
    return flat.reshape(models, samples)


def probabilities(logits: Array, form: AnswerForm) -> Array:
    """Return the probabilities of classes or tags, float64 [n, outputs], from logits."""
    exact = logits.astype(np.float64)
    return np.asarray(expit(exact) if form is AnswerForm.TAGS else softmax(exact, axis=1))


def losses_of(predicted: Array, labels: Array, scale: Array) -> Array:
    """Return the loss of every input, [n]; NaN where there is no answer.

    Args:
        predicted: The probabilities [n, outputs], or the values [n, outputs].
        labels: The labels, which state their form.
        scale: The deviation of the values, in units of which errors are squared.
    """
    form = form_of(labels)
    if form is AnswerForm.QUANTITIES:
        return np.asarray(np.square((predicted - labels) / scale).mean(axis=1))
    if form is AnswerForm.CLASS:
        return _surprise(predicted[np.arange(len(labels)), labels])
    return np.asarray(_surprise(np.where(labels > 0, predicted, 1.0 - predicted)).mean(axis=1))


def right_shares(predicted: Array, labels: Array) -> Array:
    """Return how right each answer is, [n]: 0 or 1 of a class, the share of tags that are right."""
    if form_of(labels) is AnswerForm.CLASS:
        return np.asarray(predicted.argmax(axis=1) == labels, dtype=np.float64)
    return np.asarray(((predicted > 0.5) == (labels > 0)).mean(axis=1))


def mean_by_item(values: Array, item: Array) -> tuple[Array, Array]:
    """Average the rows of each item: items in their order, and float64 [items, ...]."""
    items, number, counts = np.unique(item, return_inverse=True, return_counts=True)
    total = np.zeros((len(items), values.shape[1]))
    np.add.at(total, number, values)
    return items, total / counts[:, None]


def _surprise(probability: Array) -> Array:
    # NaN stays NaN: the loss of an input without an answer is not known.
    return np.asarray(-np.log(np.where(probability < 1e-9, 1e-9, probability)))
