"""Simple models by form of targets, on the arrays that the network gets.

As for the families, there is a trivial answer and, where one can be fitted in seconds, a linear
model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from omnivec2.preprocess import Array, Sample
from omnivec2.training.data.base import PointLabels, Split, TargetForm, TaskData
from omnivec2.training.evaluation.metrics.search_metrics import Searched
from omnivec2.training.evaluation.quality_metrics import IGNORE, METRICS

_FIT_SAMPLES = 5000
_COMPONENTS = 8
"""The numbers that a window is rebuilt from, as many as in the head."""
_MAPS = 500

Baselines = dict[str, float]
Features = Callable[[Sequence[Sample]], Any]
"""Samples -> features, float [samples, features] or sparse."""


def _labels(task: TaskData, features: Features) -> Baselines:
    """Measure the labels' shares, and a logistic regression of each label."""
    train, test = _few(task.splits["train"], _FIT_SAMPLES), task.splits["test"]
    known = np.stack(list(train.targets))
    wanted = list(test.targets)
    measure = METRICS[task.metric].measure
    shares = known.mean(axis=0)
    figures = {"majority": measure(np.tile(shares - 0.5, (len(test), 1)), wanted)}
    inputs, queries = features(train.samples), features(test.samples)
    scaler = StandardScaler() if isinstance(inputs, np.ndarray) else MaxAbsScaler()
    model = make_pipeline(scaler, OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=300)))
    usable = known.any(axis=0) & ~known.all(axis=0)
    if usable.any():
        scores = np.tile(shares, (len(test), 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs, known[:, usable] if usable.sum() > 1 else known[:, usable].ravel())
        found = model.predict_proba(queries)
        scores[:, usable] = found if usable.sum() > 1 else found[:, 1:]
        figures["linear"] = measure(scores - 0.5, wanted)
    return figures


def _anomalies(task: TaskData, features: Features) -> Baselines:
    """Measure the same answer for all, and the error of rebuilding from principal components."""
    train, test = _few(task.splits["train"], _FIT_SAMPLES), task.splits["test"]
    normal = ~np.stack(list(train.targets)).any(axis=1)
    known, queries = _standardised(features(train.samples)[normal]), features(test.samples)
    measure, wanted = METRICS[task.metric].measure, list(test.targets)
    model = PCA(min(_COMPONENTS, *known.shape), random_state=0).fit(known)
    queries = _standardised(queries)
    rest = queries - model.inverse_transform(model.transform(queries))
    return {
        "majority": measure(np.zeros((len(test), 1)), wanted),
        "linear": measure(np.square(rest).mean(axis=1, keepdims=True), wanted),
    }


def _standardised(rows: Array) -> Array:
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) / (rows.std(axis=1, keepdims=True)
                      + 1e-6))  # fmt: skip


def _number_maps(task: TaskData, features: Features) -> Baselines:
    """Measure the mean of the training maps, pixel by pixel."""
    del features
    train, test = _few(task.splits["train"], _MAPS), task.splits["test"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that is never known
        mean = np.nanmean(np.stack(list(train.targets)).astype(np.float64), axis=0)
    mean = np.where(np.isfinite(mean), mean, np.nanmean(mean))
    return {"majority": METRICS[task.metric].measure([mean] * len(test), list(test.targets))}


def _points(task: TaskData, features: Features) -> Baselines:
    """Measure the commonest class, and a logistic regression on the places of groups."""
    del features
    train, test = _few(task.splits["train"], _MAPS), task.splits["test"]
    classes = len(task.labels)
    counts = np.concatenate([_counts(t, s, classes) for t, s in _pairs(train)])
    known = counts.sum(axis=1) > 0
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    places = np.concatenate([_places(sample) for sample in train.samples])
    model.fit(places[known], counts[known].argmax(axis=1))
    common = int(counts.sum(axis=0).argmax())
    measure = METRICS[task.metric].measure
    wanted = [np.where(t.assignment >= 0, t.labels, IGNORE) for t in test.targets]
    guessed = [model.predict(_places(s))[t.assignment] for t, s in _pairs(test)]
    return {
        "majority": measure([np.full(len(t.labels), common) for t in test.targets], wanted),
        "linear": measure(guessed, wanted),
    }


def _pairs(split: Split) -> list[tuple[PointLabels, Sample]]:
    return list(zip(split.targets, split.samples, strict=True))


def _counts(target: PointLabels, sample: Sample, classes: int) -> Array:
    return target.counts(len(sample["centres"]), classes)


def _places(sample: Sample) -> Array:
    """Return the place and the spread of every group, [groups, 6]."""
    return np.concatenate([sample["centres"], sample["groups"].std(axis=1)], axis=1)


def _identities(task: TaskData, features: Features) -> Baselines:
    """Measure a search by the raw arrays."""
    test = task.splits["test"]
    queries = test.queries
    wanted = [
        Searched(int(number), None if queries is None else bool(queries[row]))
        for row, number in enumerate(test.targets)
    ]
    arrays = features(test.samples)
    dense = arrays if isinstance(arrays, np.ndarray) else arrays.toarray()
    return {"raw arrays": METRICS[task.metric].measure(dense, wanted)}


def _few(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.take(np.sort(np.random.default_rng(0).permutation(len(split))[:most]))


FORM_BASELINES: Mapping[TargetForm, Callable[[TaskData, Features], Baselines]] = {
    TargetForm.MULTI_LABEL: _labels,
    TargetForm.ANOMALY: _anomalies,
    TargetForm.MAP: _number_maps,
    TargetForm.POINTS: _points,
    TargetForm.IDENTITY: _identities,
}
