"""Thresholds of heads that give any number of labels, fitted on the validation part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import expit

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.preprocess import Array, collate
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import TargetForm, TaskData

FORMS = (TargetForm.MULTI_LABEL, TargetForm.ANOMALY)
"""The forms of targets whose heads have thresholds."""

_MOST_SAMPLES = 5000
_BATCH = 32
_NO_THRESHOLD = 0.5
_NORMAL_SHARE = 0.99
"""The share of normal samples below the threshold where no anomaly is known."""
_SMALLEST = 1e-6


@torch.no_grad()
def fit_thresholds(network: OmniVec2, task: TaskData) -> tuple[float, ...]:
    """Return the probability at which each label of a task is answered.

    It is the one with the highest F1 on the validation part; 0.5 for a label that no sample of it
    has, or all. Where anomalies are to be found but none is known, 99 % of the samples stay below.

    Args:
        network: The network in evaluation mode.
        task: The task, with targets of one of :data:`FORMS`.
    """
    split = task.splits["val"]
    if not len(split):
        return (_NO_THRESHOLD,) * len(task.labels)
    count = min(len(split), _MOST_SAMPLES)
    rows = np.linspace(0, len(split) - 1, count).round().astype(int).tolist()
    device = next(network.parameters()).device
    logits = []
    for start in range(0, count, _BATCH):
        batch = collate([split.samples[row] for row in rows[start : start + _BATCH]])
        inputs = {name: array.to(device) for name, array in as_tensors(batch).items()}
        logits.append(network(task.route, inputs)["logits"].float().cpu().numpy())
    scores = expit(np.concatenate(logits).astype(np.float64))
    applies = np.stack([np.asarray(split.targets[row]) for row in rows]) > 0
    return thresholds_of(scores, applies, task.form)


def thresholds_of(
    scores: Array, applies: Array, form: TargetForm = TargetForm.MULTI_LABEL
) -> tuple[float, ...]:
    """Return the probability at which each label is answered.

    Args:
        scores: The probabilities, [n, labels].
        applies: Whether each applies, bool [n, labels].
        form: The form of the targets, one of :data:`FORMS`.
    """
    columns = zip(scores.T, applies.T, strict=True)
    return tuple(_threshold(form, *column) for column in columns)


def _threshold(form: TargetForm, scores: Array, applies: Array) -> float:
    if form is TargetForm.ANOMALY and not applies.any():
        return _inside(float(np.quantile(scores, _NORMAL_SHARE)))
    if not applies.any() or applies.all():
        return _NO_THRESHOLD
    return best_threshold(scores, applies)


def best_threshold(scores: Array | Sequence[float], applies: Array | Sequence[bool]) -> float:
    """Return the threshold with the highest F1, half way to the next lower score.

    Args:
        scores: The probability of a label for every sample.
        applies: Whether it applies.
    """
    from sklearn.metrics import precision_recall_curve  # takes a second, and few heads need it

    precision, recall, thresholds = precision_recall_curve(applies, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    below = thresholds[best - 1] if best > 0 else thresholds[best]
    return _inside(float(thresholds[best] + below) / 2)


def _inside(threshold: float) -> float:
    """Return a threshold that has a finite logit."""
    return min(max(threshold, _SMALLEST), 1 - _SMALLEST)
