"""Conversion of a graph's raw outputs to the answers metrics compare, per task family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit, softmax

from omnivec2.generation import IDS
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.metrics.search_metrics import Searched
from omnivec2.training.evaluation.metrics.value_metrics import QuantileForecast
from omnivec2.training.evaluation.quality_metrics import IGNORE, METRICS
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

    @property
    def means(self) -> list[Any]:
        """The predictions, of forecasts with quantiles the expected values."""
        return [p.mean if isinstance(p, QuantileForecast) else p for p in self.predicted]

    def measure(self, metric: str) -> float:
        """Compute a metric over all answers."""
        predicted: Any = self.predicted if metric in OF_QUANTILES else self.means
        shapes = {answer.shape for answer in predicted if isinstance(answer, np.ndarray)}
        if len(shapes) == 1 and len(next(iter(shapes))) == 1:
            predicted = np.stack(predicted)
        return METRICS[metric].measure(predicted, self.wanted)


def read_answers(
    task: TaskData,
    outputs: Outputs,
    split: Split,
    rows: Sequence[int],
    *,
    thresholds: Sequence[float] = (),
) -> Answers:
    """Read the answers to the samples ``rows`` of a split from a graph's outputs.

    Args:
        task: The task of the head.
        outputs: The outputs of the graph for these samples, in their order.
        split: The split the samples are from.
        rows: The indices of the samples.
        thresholds: The thresholds of a head that gives any number of labels; 0.5 if empty.
    """
    if task.form in (TargetForm.MULTI_LABEL, TargetForm.ANOMALY):
        return _read_labels(outputs, split, rows, thresholds)
    if task.quantiles:
        return _read_quantiles(outputs, split, rows, task.quantiles)
    read = _FORMS.get(task.form) or _FAMILIES[task.family]
    return read(outputs, split, rows)


def calibrated(spec: HeadSpec, outputs: Outputs) -> Outputs:
    """Return outputs whose logits are divided by the head's temperature, as they are served."""
    if spec.temperature == 1.0 or "logits" not in outputs:
        return outputs
    return {**outputs, "logits": outputs["logits"] / np.float32(spec.temperature)}


def _read_labels(
    outputs: Outputs, split: Split, rows: Sequence[int], thresholds: Sequence[float]
) -> Answers:
    """Return logits above that of the threshold, which are positive for labels that apply."""
    logits = outputs["logits"].astype(np.float64)
    if thresholds:
        logits = logits - logit(np.array(thresholds))
    return Answers(list(logits), [split.targets[row] for row in rows])


def _read_logits(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    return Answers(list(outputs["logits"]), [split.targets[row] for row in rows])


def _read_values(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    return Answers(list(outputs["values"]), [split.targets[row] for row in rows])


def _read_forecasts(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Divide forecasts by each series' scale, so that errors of all series count equally."""
    scales = _scales(split, rows)
    wanted = [split.targets[row] / scale for row, scale in zip(rows, scales, strict=True)]
    return Answers(list(outputs["mean"] / scales[:, None]), wanted)


def _read_quantiles(
    outputs: Outputs, split: Split, rows: Sequence[int], levels: tuple[float, ...]
) -> Answers:
    """Divide forecasts and their quantiles by each series' scale."""
    plain = _read_forecasts(outputs, split, rows)
    quantiles = outputs["quantiles"] / _scales(split, rows)[:, None, None]
    forecasts = [
        QuantileForecast(mean, own, levels)
        for mean, own in zip(plain.predicted, quantiles, strict=True)
    ]
    return Answers(forecasts, plain.wanted)


def _scales(split: Split, rows: Sequence[int]) -> Array:
    assert split.scales is not None
    return np.asarray(split.scales[np.asarray(rows)])


def _read_number_maps(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Resize maps [targets, h, w] to the size of the targets, of which NaN is not counted."""
    targets = [np.asarray(split.targets[row]) for row in rows]
    targets = [target.reshape(-1, *target.shape[-2:]) for target in targets]
    maps = [
        np.moveaxis(resize_maps(np.moveaxis(values, 0, 2), target.shape[1:]), 2, 0)
        for values, target in zip(outputs["values"], targets, strict=True)
    ]
    return Answers(maps, targets)


def _read_points(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Give every point the best class of its group; points in no group are not counted."""
    targets = [split.targets[row] for row in rows]
    classes = outputs["logits"].argmax(axis=2)
    found = [own[target.assignment] for own, target in zip(classes, targets, strict=True)]
    wanted = [np.where(target.assignment >= 0, target.labels, IGNORE) for target in targets]
    return Answers(found, wanted)


def _read_vectors(outputs: Outputs, split: Split, rows: Sequence[int]) -> Answers:
    """Return vectors, and what each sample shows with its part in the search."""
    queries = split.queries
    wanted = [
        Searched(int(split.targets[row]), None if queries is None else bool(queries[row]))
        for row in rows
    ]
    return Answers(list(outputs["embedding"]), wanted)


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


_FORMS: dict[TargetForm, Callable[[Outputs, Split, Sequence[int]], Answers]] = {
    TargetForm.MAP: _read_number_maps,
    TargetForm.POINTS: _read_points,
    TargetForm.IDENTITY: _read_vectors,
}
"""Readers of the forms that are read as no other of their family."""

OF_QUANTILES = ("pinball", "coverage")
"""The metrics that are given quantiles; others are given the mean."""

_FAMILIES: dict[TaskFamily, Callable[[Outputs, Split, Sequence[int]], Answers]] = {
    TaskFamily.CLASSIFICATION: _read_logits,
    TaskFamily.REGRESSION: _read_values,
    TaskFamily.FORECASTING: _read_forecasts,
    TaskFamily.SEGMENTATION: _read_masks,
    TaskFamily.DETECTION: _read_boxes,
    TaskFamily.SUMMARIZATION: _read_texts,
}
