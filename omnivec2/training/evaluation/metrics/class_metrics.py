"""Metrics of classes, and of labels of which any number may apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from omnivec2.preprocess import Array

_TOP = 5
_BINS = 15


def top5(scores: Array, labels: Sequence[int]) -> float:
    """Compute the share of samples whose class is among the five highest scores.

    Args:
        scores: The class scores [n, classes], in any monotone scale.
        labels: The class indices [n].
    """
    classes = np.shape(scores)[1]
    if classes <= _TOP:
        return 1.0
    return float(top_k_accuracy_score(labels, scores, k=_TOP, labels=np.arange(classes)))


def average_accuracy(scores: Array, labels: Sequence[int]) -> float:
    """Compute the mean over classes of the share of their samples that is right.

    Args:
        scores: The class scores [n, classes], in any monotone scale.
        labels: The class indices [n]; classes that are not among them are left out.
    """
    present = np.unique(np.asarray(labels))
    guesses = np.argmax(scores, axis=1)
    mean = recall_score(labels, guesses, labels=present, average="macro", zero_division=0)
    return float(mean)


def f1(scores: Array, labels: Sequence[int]) -> float:
    """Compute the F1 of the second class, as GLUE has it for pairs of sentences.

    Args:
        scores: The class scores [n, 2], in any monotone scale.
        labels: The labels [n], 0 or 1.
    """
    return float(f1_score(labels, np.argmax(scores, axis=1), zero_division=0))


def f1_macro(scores: Array, wanted: Sequence[Any]) -> float:
    """Compute the mean over classes of F1; see :func:`_decided` for the arguments."""
    return _f1(scores, wanted, "macro")


def f1_micro(scores: Array, wanted: Sequence[Any]) -> float:
    """Compute the F1 of all decisions together; see :func:`_decided` for the arguments."""
    return _f1(scores, wanted, "micro")


def _f1(scores: Array, wanted: Sequence[Any], average: str) -> float:
    guesses, real = _decided(scores, wanted)
    # Classes that no sample has cannot be found: they are left out.
    present = np.flatnonzero(real.any(axis=0)) if real.ndim == 2 else np.unique(real)
    return float(f1_score(real, guesses, labels=present, average=average, zero_division=0))


def _decided(scores: Array, wanted: Sequence[Any]) -> tuple[Array, Array]:
    """Return decided and real classes, both [n], or labels, both [n, labels].

    Args:
        scores: The scores [n, classes]. Where any number of labels may apply, they are positive
            for those that are answered: logits above that of the label's threshold.
        wanted: The class indices [n], or zeros and ones [n, labels].
    """
    real = np.asarray(wanted)
    guesses = np.argmax(scores, axis=1) if real.ndim == 1 else np.asarray(scores) > 0
    return guesses.astype(np.int64), real.astype(np.int64)


def ece(scores: Array, labels: Sequence[int]) -> float:
    """Compute the expected calibration error of softmax over logits; see ``calibration_error``.

    Args:
        scores: The logits [n, classes].
        labels: The class indices [n].
    """
    return calibration_error(softmax(np.asarray(scores, np.float64), axis=1), labels)


def calibration_error(probabilities: Array, wanted: Sequence[Any] | Array) -> float:
    """Compute the mean distance of probabilities from the share that is right (ECE).

    Answers are grouped by their probability, in fifteen bins of equal width (Guo et al., 2017).

    Args:
        probabilities: The probabilities [n, classes], of which the highest is the answer; or
            [n, labels], of which each is one.
        wanted: The class indices [n], or zeros and ones [n, labels].
    """
    real = np.asarray(wanted)
    if real.ndim == 1:
        certainty = probabilities.max(axis=1)
        right = (probabilities.argmax(axis=1) == real).astype(np.float64)
    else:
        certainty, right = probabilities.ravel(), (real > 0).astype(np.float64).ravel()
    bins = np.minimum((certainty * _BINS).astype(np.int64), _BINS - 1)
    distance = np.bincount(bins, right - certainty, minlength=_BINS)
    return float(np.abs(distance).sum() / len(certainty))


def mean_average_precision(scores: Array, wanted: Sequence[Array]) -> float:
    """Compute the mean over labels of the average precision (mAP).

    Args:
        scores: The scores [n, labels], in any monotone scale for each label.
        wanted: The labels as zeros and ones [n, labels]; labels that no sample has are left out.
    """
    return _mean_over_labels(average_precision_score, scores, wanted)


def mean_auc(scores: Array, wanted: Sequence[Array]) -> float:
    """Compute the mean over labels of the area under the ROC curve.

    Args:
        scores: The scores [n, labels], in any monotone scale for each label.
        wanted: The labels as zeros and ones [n, labels]; labels that no sample has are left out.
    """
    return _mean_over_labels(roc_auc_score, scores, wanted)


def _mean_over_labels(
    measure: Callable[[Array, Array], float], scores: Array, wanted: Sequence[Array]
) -> float:
    """Return the mean of a metric over labels that some samples have and others have not."""
    real = np.asarray(wanted).astype(np.int64)
    usable = np.flatnonzero(real.any(axis=0) & ~real.all(axis=0))
    if not len(usable):
        return float("nan")
    ranks = np.asarray(scores, np.float64)
    return float(np.mean([measure(real[:, label], ranks[:, label]) for label in usable]))
