"""How good answers are: one function per metric, found by name.

Predictions come as postprocessed arrays, not logits: see each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import matthews_corrcoef

from omnivec2.preprocess import Array
from omnivec2.training.evaluation.rouge import rouge1, rouge2, rouge_l

IGNORE = 255
"""Mask value of pixels that no metric counts."""

_OVERLAP = 0.5
"""Least intersection over union of a found box, the "50" of AP50."""


@dataclass(frozen=True)
class MetricKind:
    """A metric and which way is better."""

    measure: Callable[[Any, Any], float]
    higher_is_better: bool = True


def accuracy(scores: Array, labels: Sequence[int]) -> float:
    """Share of samples whose highest score is their class.

    Args:
        scores: [n, classes], any monotone scores.
        labels: [n] class indices.
    """
    return float(np.mean(np.argmax(scores, axis=1) == np.asarray(labels)))


def auc(scores: Array, labels: Sequence[int]) -> float:
    """Area under the ROC curve of the second class (ties count half).

    Args:
        scores: [n, 2]; the difference of the columns ranks the samples.
        labels: [n], 0 or 1, both present.
    """
    positive = np.asarray(labels) == 1
    ranks = rankdata(scores[:, 1].astype(np.float64) - scores[:, 0])
    hits, misses = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def mcc(scores: Array, labels: Sequence[int]) -> float:
    """Matthews correlation of classes and those with the highest score; 0 for a constant answer.

    The metric of CoLA: unlike accuracy it gives nothing for always naming the larger class.

    Args:
        scores: [n, classes], any monotone scores.
        labels: [n] class indices.
    """
    return float(matthews_corrcoef(np.asarray(labels), np.argmax(scores, axis=1)))


def rmse(values: Array, targets: Sequence[Array]) -> float:
    """Root of the mean squared error over samples and targets, in the targets' units."""
    return float(np.sqrt(np.mean(np.square(values - np.asarray(targets)))))


def mse(values: Array, targets: Sequence[Array]) -> float:
    """Mean squared error.

    For series, both are divided by ``Split.scales`` beforehand, which is what tables of the
    literature print (series standardised on the training part).
    """
    return float(np.mean(np.square(values - np.asarray(targets))))


def miou(masks: Sequence[Array], references: Sequence[Array]) -> float:
    """Mean over classes of intersection over union, counted over all pixels of all masks.

    Args:
        masks: class per pixel, each [h, w].
        references: the same with 255 where nothing is counted. Classes that are in no
            reference are left out of the mean.
    """
    count = IGNORE + 1
    confusion = np.zeros((count, count), dtype=np.int64)
    for mask, reference in zip(masks, references, strict=True):
        counted = reference != IGNORE
        pairs = reference[counted].astype(np.int64) * count + mask[counted]
        confusion += np.bincount(pairs, minlength=count * count).reshape(count, count)
    hits, real = np.diagonal(confusion), confusion.sum(axis=1)
    union = real + confusion.sum(axis=0) - hits
    present = real > 0
    return float(np.mean(hits[present] / union[present]))


def ap50(found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]]) -> float:
    """Mean over classes of average precision at an overlap of 0.5.

    As Pascal VOC since 2010: the area under the whole precision-recall curve after making
    precision monotone. A reference box is matched once, by the surest box that fits it best.

    Args:
        found: per picture ``boxes`` [m, 4] (cx, cy, w, h), ``labels`` [m], ``scores`` [m].
        references: per picture ``boxes`` [n, 4] and ``labels`` [n].
    """
    classes = np.unique(np.concatenate([reference["labels"] for reference in references]))
    return float(np.mean([_average_precision(found, references, c) for c in classes]))


def _average_precision(
    found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]], label: int
) -> float:
    real = [reference["boxes"][reference["labels"] == label] for reference in references]
    taken = [np.zeros(len(boxes), dtype=bool) for boxes in real]
    answers = [
        (float(score), picture, box)
        for picture, answer in enumerate(found)
        for score, box, kind in zip(
            answer["scores"], answer["boxes"], answer["labels"], strict=True
        )
        if kind == label
    ]
    answers.sort(key=lambda answer: -answer[0])
    right = np.zeros(len(answers))
    for rank, (_, picture, box) in enumerate(answers):
        if len(real[picture]) == 0:
            continue
        overlaps = overlap(box[None], real[picture])[0]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= _OVERLAP and not taken[picture][best]:
            taken[picture][best] = True
            right[rank] = 1
    hits = np.cumsum(right)
    recall = hits / sum(map(len, real))
    precision = hits / np.arange(1, len(answers) + 1)
    # From the right, the best precision at this recall or beyond.
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * monotone))


def unmatched(found: dict[str, Array], reference: dict[str, Array]) -> tuple[int, int]:
    """How many boxes of a picture were missed, and how many answered ones are none of it.

    Args:
        found: ``boxes`` [m, 4], ``labels`` [m], ``scores`` [m]; the surest is matched first.
        reference: ``boxes`` [n, 4] and ``labels`` [n].
    """
    free = np.ones(len(reference["boxes"]), dtype=bool)
    overlaps = overlap(found["boxes"], reference["boxes"])
    fits = (overlaps >= _OVERLAP) & (found["labels"][:, None] == reference["labels"])
    for row in np.argsort(-found["scores"], kind="stable"):
        there = np.flatnonzero(fits[row] & free)
        if there.size:
            free[there[np.argmax(overlaps[row, there])]] = False
    missed = int(free.sum())
    return missed, len(found["boxes"]) - (len(free) - missed)


def overlap(first: Array, second: Array) -> Array:
    """Intersection over union of every pair of boxes (cx, cy, w, h): [n, 4], [m, 4] -> [n, m]."""
    low = np.maximum(_low(first)[:, None], _low(second)[None])
    high = np.minimum(_high(first)[:, None], _high(second)[None])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(first[:, 2:], axis=1)[:, None] + np.prod(second[:, 2:], axis=1)[None]
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def _low(boxes: Array) -> Array:
    return np.asarray(boxes[:, :2] - boxes[:, 2:] / 2)


def _high(boxes: Array) -> Array:
    return np.asarray(boxes[:, :2] + boxes[:, 2:] / 2)


METRICS: dict[str, MetricKind] = {
    "accuracy": MetricKind(accuracy),
    "auc": MetricKind(auc),
    "mcc": MetricKind(mcc),
    "rmse": MetricKind(rmse, higher_is_better=False),
    "mse": MetricKind(mse, higher_is_better=False),
    "miou": MetricKind(miou),
    "ap50": MetricKind(ap50),
    "rouge1": MetricKind(rouge1),
    "rouge2": MetricKind(rouge2),
    "rougeL": MetricKind(rouge_l),
}
