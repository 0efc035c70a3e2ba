"""Conversion of a graph's raw outputs to the answers metrics compare, per task family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from omnivec2.generation import IDS
from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.data.base import Split
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_scene_models import resize_maps, suppress_overlaps
from omnivec2.wordpiece import text_of

Outputs = Mapping[str, Array]
"""Arrays (samples, ...) by output name."""

_ANSWERS = 100
"""The number of boxes of a class kept per picture, those with the highest scores."""


@dataclass(frozen=True)
class Answers:
    """Predictions and targets of some samples.

    Attributes:
        predicted: The predictions, in the form the family's metrics take.
        wanted: The targets, in the form the family's metrics take.
    """

    predicted: list[Any]
    wanted: list[Any]

    def extend(self, other: Answers) -> None:
        """Add the answers of further samples."""
        self.predicted.extend(other.predicted)
        self.wanted.extend(other.wanted)

    def measure(self, metric: str) -> float:
        """Compute a metric over all answers."""
        predicted: Any = self.predicted
        if isinstance(predicted[0], np.ndarray) and predicted[0].ndim == 1:
            predicted = np.stack(predicted)
        return METRICS[metric].measure(predicted, self.wanted)


def read_answers(
    family: TaskFamily, outputs: Outputs, split: Split, rows: Sequence[int]
) -> Answers:
    """Read the answers to the samples ``rows`` of a split from a graph's outputs.

    Args:
        family: The family of the head.
        outputs: The outputs of the graph for these samples, in their order.
        split: The split the samples are from.
        rows: The indices of the samples.
    """
    return _FAMILIES[family](outputs, split, rows)


def _read_logits(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    return Answers(list(outputs["logits"]), [split.targets[row] for row in rows])


def _read_values(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    return Answers(list(outputs["values"]), [split.targets[row] for row in rows])


def _read_forecasts(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Divide forecasts by each series' scale, so that errors of all series count equally."""
    assert split.scales is not None
    scales = split.scales[np.asarray(rows)]
    wanted = [split.targets[row] / scale for row, scale in zip(rows, scales, strict=True)]
    return Answers(list(outputs["mean"] / scales[:, None]), wanted)


def _read_masks(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Return the class per pixel at the references' size; per sample if samples are pixels."""
    if split.references is None:
        return _read_logits(outputs, split, rows)
    references = [split.references[row] for row in rows]
    masks = [
        np.argmax(resize_maps(np.moveaxis(logits, 0, 2), reference.shape), axis=2)
        for logits, reference in zip(outputs["logits"], references, strict=True)
    ]
    return Answers(masks, references)


def _read_boxes(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Let every query answer with every class, and suppress overlapping boxes."""
    scores = softmax(outputs["logits"].astype(np.float64), axis=2)[..., :-1]
    found = [_suppressed_boxes(s, boxes) for s, boxes in zip(scores, outputs["boxes"], strict=True)]
    return Answers(found, [split.targets[row] for row in rows])


def _suppressed_boxes(scores: Array, boxes: Array) -> dict[str, Array]:
    kept = [suppress_overlaps(boxes, column)[:_ANSWERS] for column in scores.T]
    return {
        "boxes": np.concatenate([boxes[rows] for rows in kept]),
        "labels": np.repeat(np.arange(len(kept)), [len(rows) for rows in kept]),
        "scores": np.concatenate([scores[rows, label] for label, rows in enumerate(kept)]),
    }


def _read_texts(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Decode texts from the outputs of a search, not of the graph."""
    references = [split.targets[row].references for row in rows]
    return Answers([text_of(ids) for ids in outputs[IDS]], references)


_FAMILIES: dict[TaskFamily, Callable[[Outputs, Split, Sequence[int]], Answers]] = {
    TaskFamily.CLASSIFICATION: _read_logits,
    TaskFamily.REGRESSION: _read_values,
    TaskFamily.FORECASTING: _read_forecasts,
    TaskFamily.SEGMENTATION: _read_masks,
    TaskFamily.DETECTION: _read_boxes,
    TaskFamily.SUMMARIZATION: _read_texts,
}
