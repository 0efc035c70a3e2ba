"""The distance of an engine's answers from the reference, in metric points.

A point is a hundredth of a public metric's scale: 1 % of accuracy, or of the spread of the
quantities that are predicted. Distances are estimates from above: they add up all differences,
while in a metric most of them cancel, because some samples get better where others get worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from omnivec2.arrays import Array
from omnivec2.generation import COPIED, GENERATED
from omnivec2.postprocess.numeric import Floats, sigmoid, softmax
from omnivec2.spec import HeadSpec, TaskFamily

TOLERANCES: Mapping[TaskFamily, float] = {
    TaskFamily.CLASSIFICATION: 7.0,
    TaskFamily.REGRESSION: 4.0,
    TaskFamily.FORECASTING: 2.0,
    TaskFamily.SEGMENTATION: 10.0,
    TaskFamily.DETECTION: 5.0,
    TaskFamily.EMBEDDING: 1.0,
    TaskFamily.SUMMARIZATION: 5.0,
}
"""The largest distance that may pass, by family; a head whose answers are much alike has less.
docs/accuracy-gate.md has the measurements."""

_SMALLEST_SCALE = 1e-6

_Outputs = Mapping[str, Floats]
_Distance = Callable[[_Outputs, _Outputs, Array | None], float]
"""(reference, answers, scales) -> metric points."""


def measure(
    spec: HeadSpec,
    reference: Mapping[str, Array],
    answers: Mapping[str, Array],
    scales: Array | None = None,
) -> float:
    """Measure how far answers are from the reference.

    Args:
        spec: The spec of the head, whose family says what a point is.
        reference: The outputs of the network in float32: name -> array (rows, ...).
        answers: The outputs of an engine for the same inputs.
        scales: The divisors of differences of values with a unit, of a shape that goes with
            theirs; None takes the spread of the reference.

    Returns:
        The distance in metric points; infinite if an output is missing, has another shape or
        holds a value that is not finite.
    """
    for name, wanted in reference.items():
        if name not in answers or answers[name].shape != wanted.shape:
            return float("inf")
        if not np.isfinite(answers[name]).all():
            return float("inf")
    exact = {name: np.asarray(array, np.float64) for name, array in reference.items()}
    given = {name: np.asarray(answers[name], np.float64) for name in reference}
    distance = _label_distance if spec.is_multi_label else _DISTANCES[spec.family]
    return distance(exact, given, scales)


def _probability_distance(reference: _Outputs, answers: _Outputs, _: Array | None) -> float:
    """Return 100 x the mean total variation distance of the probabilities of the classes."""
    exact, given = softmax(reference["logits"]), softmax(answers["logits"])
    return 100 * float(_total_variation(exact, given).mean())


def _label_distance(reference: _Outputs, answers: _Outputs, _: Array | None) -> float:
    """Return 100 x the mean difference of the probabilities of the labels."""
    difference = sigmoid(reference["logits"]) - sigmoid(answers["logits"])
    return 100 * float(np.abs(difference).mean())


def _class_changes(reference: _Outputs, answers: _Outputs, scales: Array | None) -> float:
    """Return the percentage of the cells of maps (rows, classes, h, w) whose class changes.

    Pixels and groups of points, whose classes are the last axis, are too few to be counted:
    there it is the distance of their probabilities.
    """
    if reference["logits"].ndim < 4:
        return _probability_distance(reference, answers, scales)
    changed = reference["logits"].argmax(axis=1) != answers["logits"].argmax(axis=1)
    return 100 * float(changed.mean())


def _value_distance(reference: _Outputs, answers: _Outputs, scales: Array | None) -> float:
    """Return 100 x the root mean square of the differences, in units of the scales."""
    exact = reference["values"]
    # The samples of a map's quantity are the pixels of all rows.
    samples = tuple(axis for axis in range(exact.ndim) if axis != 1)
    units = exact.std(axis=samples, keepdims=True) if scales is None else scales
    difference = (answers["values"] - exact) / np.maximum(units, _SMALLEST_SCALE)
    return 100 * float(np.sqrt(np.square(difference).mean()))


def _series_distance(reference: _Outputs, answers: _Outputs, scales: Array | None) -> float:
    """Return 100 x the mean absolute difference, in units of each series' scale."""
    units = reference["mean"].std(axis=1, keepdims=True) if scales is None else scales
    units = np.maximum(units, _SMALLEST_SCALE)
    distances = [np.abs(answers["mean"] - reference["mean"]) / units]
    if "quantiles" in reference:
        between = np.abs(answers["quantiles"] - reference["quantiles"])
        distances.append(between / units[:, None])
    return 100 * float(max(distance.mean() for distance in distances))


def _detection_distance(reference: _Outputs, answers: _Outputs, _: Array | None) -> float:
    """Return 100 x the mean distance of scores and boxes over the queries that find an object.

    A query counts by the probability that it finds one, in either answer.
    """
    exact, given = softmax(reference["logits"]), softmax(answers["logits"])
    weights = np.maximum(1 - exact[..., -1], 1 - given[..., -1])
    distance = _total_variation(exact, given)
    distance += 1 - _overlaps(reference["boxes"], answers["boxes"])
    return 100 * float((weights * distance).sum() / max(weights.sum(), 1.0))


def _embedding_distance(reference: _Outputs, answers: _Outputs, _: Array | None) -> float:
    """Return 100 x (1 - the mean cosine)."""
    exact, given = reference["embedding"], answers["embedding"]
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(given, axis=1)
    cosines = (exact * given).sum(axis=1) / np.maximum(lengths, _SMALLEST_SCALE)
    return 100 * float(1 - cosines.mean())


def _word_distance(reference: _Outputs, answers: _Outputs, _: Array | None) -> float:
    """Return 100 x the mean total variation distance of the next word's probabilities."""
    distance = _total_variation(reference[GENERATED], answers[GENERATED])
    distance += _total_variation(reference[COPIED], answers[COPIED])
    return 100 * float(distance.mean())


def _total_variation(exact: Floats, given: Floats) -> Floats:
    return np.asarray(0.5 * np.abs(exact - given).sum(axis=-1), np.float64)


def _overlaps(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of boxes (cx, cy, w, h), pair by pair; 0 of no area."""
    low = np.maximum(_low(first), _low(second))
    high = np.minimum(_low(first) + first[..., 2:], _low(second) + second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(first[..., 2:], axis=-1) + np.prod(second[..., 2:], axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-12), np.float64)


def _low(boxes: Floats) -> Floats:
    return np.asarray(boxes[..., :2] - boxes[..., 2:] / 2, np.float64)


_DISTANCES: Mapping[TaskFamily, _Distance] = {
    TaskFamily.CLASSIFICATION: _probability_distance,
    TaskFamily.REGRESSION: _value_distance,
    TaskFamily.FORECASTING: _series_distance,
    TaskFamily.SEGMENTATION: _class_changes,
    TaskFamily.DETECTION: _detection_distance,
    TaskFamily.EMBEDDING: _embedding_distance,
    TaskFamily.SUMMARIZATION: _word_distance,
}
