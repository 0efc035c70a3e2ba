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
    ece,
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
    best. A box that matches none but lies in a crowd of its class is not counted, as in COCO.

    Args:
        found: The predictions, per picture ``boxes`` [m, 4] (cx, cy, w, h), ``labels`` [m] and
            ``scores`` [m].
        references: The real objects, per picture ``boxes`` [n, 4] and ``labels`` [n]; where there
            are crowds, ``crowds`` [k, 4] and ``crowd_labels`` [k].
    """
    classes = np.unique(np.concatenate([reference["labels"] for reference in references]))
    return float(np.mean([_average_precision(found, references, c) for c in classes]))


def _average_precision(
    found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]], label: int
) -> float:
    matched = [match_boxes(*pair, label) for pair in zip(found, references, strict=True)]
    scores, correct = (np.concatenate([one[part] for one in matched]) for part in (0, 1))
    return ranked_area(scores, correct, sum(one[2] for one in matched))


def match_boxes(
    found: dict[str, Array], reference: dict[str, Array], label: int
) -> tuple[Array, Array, int]:
    """Match the predicted boxes of a class in one picture, those with the highest scores first.

    Returns:
        The scores [m] of the boxes that count, whether each is correct, bool [m], and the number
        of real boxes.
    """
    real = reference["boxes"][reference["labels"] == label]
    own = np.flatnonzero(found["labels"] == label)
    ranked = own[np.argsort(-found["scores"][own], kind="stable")]
    matched = np.zeros(len(real), dtype=bool)
    scores, correct = [], []
    for row in ranked:
        box = found["boxes"][row]
        overlaps = box_iou(box[None], real)[0]
        best = int(np.argmax(overlaps)) if len(overlaps) else -1
        fits = best >= 0 and overlaps[best] >= _OVERLAP and not matched[best]
        if fits:
            matched[best] = True
        elif _in_crowd(box, label, reference):
            continue
        scores.append(float(found["scores"][row]))
        correct.append(fits)
    return np.array(scores), np.array(correct, dtype=bool), len(real)


def ranked_area(scores: Array, correct: Array, real: int) -> float:
    """Compute the area under the precision-recall curve, its precision made monotone.

    Args:
        scores: The scores of boxes, [m].
        correct: Whether each is correct, bool [m].
        real: The number of real boxes.
    """
    hits = np.cumsum(correct[np.argsort(-scores, kind="stable")])
    recall = hits / real
    precision = hits / np.arange(1, len(hits) + 1)
    # The best precision at this recall or a higher one.
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * monotone))


def _in_crowd(box: Array, label: int, reference: dict[str, Array]) -> bool:
    """Whether half of a box [4] or more lies in one crowd of its class."""
    if "crowds" not in reference:
        return False
    crowds = reference["crowds"][reference["crowd_labels"] == label]
    shared = _shared_areas(box[None], crowds)[0]
    return bool((shared >= _OVERLAP * np.prod(box[2:])).any())


def count_unmatched(found: dict[str, Array], reference: dict[str, Array]) -> tuple[int, int]:
    """Count the missed boxes of a picture, and the predicted ones that match none of it.

    Args:
        found: The predicted ``boxes`` [m, 4], ``labels`` [m] and ``scores`` [m]; higher scores
            are matched first.
        reference: The real ``boxes`` [n, 4] and ``labels`` [n], and perhaps crowds; boxes in them
            are not counted.
    """
    free = np.ones(len(reference["boxes"]), dtype=bool)
    overlaps = box_iou(found["boxes"], reference["boxes"])
    fits = (overlaps >= _OVERLAP) & (found["labels"][:, None] == reference["labels"])
    wrong = 0
    for row in np.argsort(-found["scores"], kind="stable"):
        candidates = np.flatnonzero(fits[row] & free)
        if candidates.size:
            free[candidates[np.argmax(overlaps[row, candidates])]] = False
        elif not _in_crowd(found["boxes"][row], found["labels"][row], reference):
            wrong += 1
    return int(free.sum()), wrong


def box_iou(first: Array, second: Array) -> Array:
    """Compute the IoU of every pair of boxes (cx, cy, w, h): [n, 4], [m, 4] -> [n, m]."""
    shared = _shared_areas(first, second)
    areas = np.prod(first[:, 2:], axis=1)[:, None] + np.prod(second[:, 2:], axis=1)[None]
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def _shared_areas(first: Array, second: Array) -> Array:
    low = np.maximum(_low(first)[:, None], _low(second)[None])
    high = np.minimum(_high(first)[:, None], _high(second)[None])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2))


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
    "ece": MetricKind(ece, higher_is_better=False),
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
