"""Metrics computed from statistics of every sample, so that drawn samples cost next to nothing.

The answers to all samples are compared with their targets once. A metric over drawn samples is
then a sum, a mean or a sort of what was found for each. Metrics that have no such statistics are
computed from the answers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.training.evaluation.metrics.search_metrics import query_values
from omnivec2.training.evaluation.predictions import Answers
from omnivec2.training.evaluation.quality_metrics import IGNORE, METRICS, match_boxes, ranked_area
from omnivec2.training.evaluation.resampling.sampled_figure import SampledFigure, mean_figure

Measure = Callable[[Array], float]
"""A function from the indices of samples to the metric over them."""


_RANKS: Mapping[str, int | None] = {
    "recall@1": 1,
    "recall@5": 5,
    "recall@10": 10,
    "search_map": None,
}
"""The ranks that count in a search, by the metric's name."""

_NUMERIC = (np.ndarray, np.generic, int, float)


def figure_of(answers: Answers, metric: str, block: int = 1) -> SampledFigure:
    """Return a metric of answers in a form that can be computed over drawn samples.

    Args:
        answers: The answers to all samples.
        metric: The name of the metric.
        block: The number of neighbouring samples that are drawn together.
    """
    if metric in _RANKS:
        # Queries are drawn; what they are looked for among stays the same.
        return mean_figure(
            query_values(np.stack(answers.predicted), answers.wanted, _RANKS[metric])
        )
    prepare = _STATISTICS.get(metric)
    measure = prepare(answers, metric) if prepare else _recomputed(answers, metric)
    return SampledFigure(len(answers.wanted), measure, block)


def _recomputed(answers: Answers, metric: str) -> Measure:
    """Return the metric over the answers of drawn samples."""
    arrays = _stacked(answers.predicted), _stacked(answers.wanted)

    def measure(rows: Array) -> float:
        predicted, wanted = (_chosen(values, rows) for values in arrays)
        return Answers(predicted, wanted).measure(metric)

    if isinstance(arrays[0], np.ndarray) and isinstance(arrays[1], np.ndarray):
        return lambda rows: METRICS[metric].measure(arrays[0][rows], arrays[1][rows])
    return measure


def _stacked(values: Sequence[Any]) -> Any:
    """Return values as one array where they are numbers or vectors of one length."""
    shapes = {np.shape(value) if isinstance(value, _NUMERIC) else None for value in values}
    one = next(iter(shapes)) if len(shapes) == 1 else None
    return np.stack(list(values)) if one is not None and len(one) < 2 else list(values)


def _chosen(values: Any, rows: Array) -> list[Any]:
    return [values[row] for row in rows]


def _means(answers: Answers, metric: str) -> Measure:
    """Return the mean of the metric of single samples, all of which weigh the same."""
    one = METRICS[metric].measure
    values = np.array([
        one(_one(predicted), _one(wanted))
        for predicted, wanted in zip(answers.means, answers.wanted, strict=True)
    ])  # fmt: skip
    return lambda rows: float(values[rows].mean())


def _one(value: Any) -> Any:
    return value[None] if isinstance(value, np.ndarray) else [value]


def _right(answers: Answers, metric: str) -> Measure:
    """Return the share of samples whose highest score is their class."""
    del metric
    right = np.stack(answers.predicted).argmax(axis=1) == np.asarray(answers.wanted)
    return lambda rows: float(right[rows].mean())


def _errors(kind: Callable[[Array], Array], finish: Callable[[float], float]) -> Any:
    """Return what makes the mean of errors over all numbers that are known, of all samples."""

    def prepare(answers: Answers, metric: str) -> Measure:
        del metric
        sums, counts = np.zeros((2, len(answers.wanted)))
        for row, (found, real) in enumerate(zip(answers.means, answers.wanted, strict=True)):
            error = np.ravel(found).astype(np.float64) - np.ravel(real)
            known = np.isfinite(np.ravel(real))
            sums[row], counts[row] = kind(error[known]).sum(), known.sum()
        return lambda rows: finish(float(sums[rows].sum() / counts[rows].sum()))

    return prepare


def _overlaps(answers: Answers, metric: str) -> Measure:
    """Return the mean over classes of intersection over union, from every sample's confusion."""
    del metric
    classes = 1 + max(
        int(mask[mask != IGNORE].max(initial=0))
        for mask in (*answers.predicted, *answers.wanted)
    )  # fmt: skip
    tables = np.zeros((len(answers.wanted), classes, classes), dtype=np.int64)
    for row, (mask, reference) in enumerate(zip(answers.predicted, answers.wanted, strict=True)):
        counted = reference != IGNORE
        pairs = reference[counted].astype(np.int64) * classes + mask[counted]
        tables[row] = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def measure(rows: Array) -> float:
        confusion = tables[rows].sum(axis=0)
        hits, real = np.diagonal(confusion), confusion.sum(axis=1)
        union = real + confusion.sum(axis=0) - hits
        present = real > 0
        return float(np.mean(hits[present] / union[present]))

    return measure


def _boxes(answers: Answers, metric: str) -> Measure:
    """Return average precision at an overlap of 0.5 from every picture's matched boxes."""
    del metric
    pairs = list(zip(answers.predicted, answers.wanted, strict=True))
    classes = np.unique(np.concatenate([reference["labels"] for _, reference in pairs]))
    matched = {label: [match_boxes(*pair, label) for pair in pairs] for label in classes}

    def measure(rows: Array) -> float:
        areas = []
        for found in matched.values():
            drawn = [found[row] for row in rows]
            scores, correct = (np.concatenate([one[part] for one in drawn]) for part in (0, 1))
            if real := sum(one[2] for one in drawn):
                areas.append(ranked_area(scores, correct, real))
        return float(np.mean(areas))

    return measure


_STATISTICS: Mapping[str, Callable[[Answers, str], Measure]] = {
    "accuracy": _right,
    "rmse": _errors(np.square, lambda mean: float(np.sqrt(mean))),
    "mse": _errors(np.square, float),
    "mae": _errors(np.abs, float),
    "miou": _overlaps,
    "ap50": _boxes,
    "rouge1": _means,
    "rouge2": _means,
    "rougeL": _means,
}
"""What prepares a metric's statistics, by the metric's name."""
