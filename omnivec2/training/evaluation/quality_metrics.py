"""The quality metrics: one function per metric, looked up by name.

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
from omnivec2.training.evaluation.metrics.bert_score import bertscore
from omnivec2.training.evaluation.metrics.class_metrics import (
    average_accuracy,
    f1,
    f1_macro,
    f1_micro,
    mean_auc,
    mean_average_precision,
    top5,
)
from omnivec2.training.evaluation.metrics.coco_metrics import ap, coco_ap50, coco_ap75
from omnivec2.training.evaluation.metrics.search_metrics import recall_at, search_map
from omnivec2.training.evaluation.metrics.value_metrics import (
    abs_rel,
    coverage,
    delta1,
    known_pairs,
    mae,
    pinball,
)
from omnivec2.training.evaluation.rouge import rouge1, rouge2, rouge_l

IGNORE = 255
"""The mask value of pixels that no metric counts."""

_OVERLAP = 0.5
"""The least intersection over union of a correct box, the "50" of AP50."""


@dataclass(frozen=True)
class MetricKind:
    """A metric, and whether a higher value is better."""

    measure: Callable[[Any, Any], float]
    higher_is_better: bool = True


def accuracy(scores: Array, labels: Sequence[int]) -> float:
    """Compute the share of samples whose highest score is their class.

    Args:
        scores: The class scores [n, classes], in any monotone scale.
        labels: The class indices [n].
    """
    return float(np.mean(np.argmax(scores, axis=1) == np.asarray(labels)))


def auc(scores: Array, labels: Sequence[int]) -> float:
    """Compute the area under the ROC curve of the second class (ties count half).

    Args:
        scores: The class scores [n, 2]; the difference of the columns ranks the samples.
        labels: The labels [n], 0 or 1, both present.
    """
    positive = np.asarray(labels) == 1
    ranks = rankdata(scores[:, 1].astype(np.float64) - scores[:, 0])
    hits, misses = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def mcc(scores: Array, labels: Sequence[int]) -> float:
    """Compute the Matthews correlation of predicted and real classes; 0 for constant answers.

    The metric of CoLA: unlike accuracy it gives nothing for always naming the larger class.

    Args:
        scores: The class scores [n, classes], in any monotone scale.
        labels: The class indices [n].
    """
    return float(matthews_corrcoef(np.asarray(labels), np.argmax(scores, axis=1)))


def rmse(values: Sequence[Array] | Array, targets: Sequence[Array]) -> float:
    """Compute the root mean squared error over samples and targets, in the targets' units.

    Pixels of maps whose target is NaN are left out.
    """
    found, real = known_pairs(values, targets)
    return float(np.sqrt(np.mean(np.square(found - real))))


def mse(values: Array, targets: Sequence[Array]) -> float:
    """Compute the mean squared error.

    For series, both are divided by ``Split.scales`` beforehand, as in the tables of the
    literature (series standardised on the training split).
    """
    return float(np.mean(np.square(values - np.asarray(targets))))


def miou(masks: Sequence[Array], references: Sequence[Array]) -> float:
    """Compute the mean over classes of intersection over union, over all pixels of all masks.

    Args:
        masks: The predicted class per pixel, each [h, w].
        references: The real class per pixel, 255 where nothing is counted. Classes that are in
            no reference are left out of the mean.
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
    """Compute the mean over classes of average precision at an overlap of 0.5.

    As Pascal VOC since 2010: the area under the whole precision-recall curve after making
    precision monotone. A reference box is matched once, by the highest-scored box that fits it
    best.

    Args:
        found: The predictions, per picture ``boxes`` [m, 4] (cx, cy, w, h), ``labels`` [m] and
            ``scores`` [m].
        references: The real objects, per picture ``boxes`` [n, 4] and ``labels`` [n].
    """
    classes = np.unique(np.concatenate([reference["labels"] for reference in references]))
    return float(np.mean([_average_precision(found, references, c) for c in classes]))


def _average_precision(
    found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]], label: int
) -> float:
    real = [reference["boxes"][reference["labels"] == label] for reference in references]
    matched = [np.zeros(len(boxes), dtype=bool) for boxes in real]
    predictions = [
        (float(score), picture, box)
        for picture, answer in enumerate(found)
        for score, box, kind in zip(
            answer["scores"], answer["boxes"], answer["labels"], strict=True
        )
        if kind == label
    ]
    predictions.sort(key=lambda prediction: -prediction[0])
    correct = np.zeros(len(predictions))
    for rank, (_, picture, box) in enumerate(predictions):
        if len(real[picture]) == 0:
            continue
        overlaps = box_iou(box[None], real[picture])[0]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= _OVERLAP and not matched[picture][best]:
            matched[picture][best] = True
            correct[rank] = 1
    hits = np.cumsum(correct)
    recall = hits / sum(map(len, real))
    precision = hits / np.arange(1, len(predictions) + 1)
    # The best precision at this recall or a higher one.
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * monotone))


def count_unmatched(found: dict[str, Array], reference: dict[str, Array]) -> tuple[int, int]:
    """Count the missed boxes of a picture, and the predicted ones that match none of it.

    Args:
        found: The predicted ``boxes`` [m, 4], ``labels`` [m] and ``scores`` [m]; higher scores
            are matched first.
        reference: The real ``boxes`` [n, 4] and ``labels`` [n].
    """
    free = np.ones(len(reference["boxes"]), dtype=bool)
    overlaps = box_iou(found["boxes"], reference["boxes"])
    fits = (overlaps >= _OVERLAP) & (found["labels"][:, None] == reference["labels"])
    for row in np.argsort(-found["scores"], kind="stable"):
        candidates = np.flatnonzero(fits[row] & free)
        if candidates.size:
            free[candidates[np.argmax(overlaps[row, candidates])]] = False
    missed = int(free.sum())
    return missed, len(found["boxes"]) - (len(free) - missed)


def box_iou(first: Array, second: Array) -> Array:
    """Compute the IoU of every pair of boxes (cx, cy, w, h): [n, 4], [m, 4] -> [n, m]."""
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
    "top5": MetricKind(top5),
    "average_accuracy": MetricKind(average_accuracy),
    "f1": MetricKind(f1),
    "f1_macro": MetricKind(f1_macro),
    "f1_micro": MetricKind(f1_micro),
    "map": MetricKind(mean_average_precision),
    "mean_auc": MetricKind(mean_auc),
    "rmse": MetricKind(rmse, higher_is_better=False),
    "mae": MetricKind(mae, higher_is_better=False),
    "mse": MetricKind(mse, higher_is_better=False),
    "pinball": MetricKind(pinball, higher_is_better=False),
    "coverage": MetricKind(coverage),
    "abs_rel": MetricKind(abs_rel, higher_is_better=False),
    "delta1": MetricKind(delta1),
    "miou": MetricKind(miou),
    "ap50": MetricKind(ap50),
    "ap": MetricKind(ap),
    "coco_ap50": MetricKind(coco_ap50),
    "coco_ap75": MetricKind(coco_ap75),
    "recall@1": MetricKind(recall_at(1)),
    "recall@5": MetricKind(recall_at(5)),
    "recall@10": MetricKind(recall_at(10)),
    "search_map": MetricKind(search_map),
    "rouge1": MetricKind(rouge1),
    "rouge2": MetricKind(rouge2),
    "rougeL": MetricKind(rouge_l),
    "bertscore": MetricKind(bertscore),
}
