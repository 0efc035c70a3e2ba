"""Simple models on the arrays that the network gets, as a baseline for its results.

Per task there is a trivial answer (the majority class, the mean, prior boxes) and a linear model
(logistic or ridge regression) with its regularisation chosen on ``val``; both are measured on
``test``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import TaskFamily
from omnivec2.training.data import DEFAULT_CACHE
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.baselines.form_baselines import FORM_BASELINES
from omnivec2.training.evaluation.baselines.series_baselines import (
    NAIVE,
    SEASONAL,
    repeat_last,
    repeat_season,
)
from omnivec2.training.evaluation.predictions import OF_QUANTILES
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_scene_models import (
    detection_baselines,
    segmentation_baselines,
)
from omnivec2.training.evaluation.simple_summaries import summarization_baselines

_OF_SCORES = ("ece",)
"""Metrics of scores and not of answers, which simple models are not measured by."""

_VERSION = 2
"""The version of this computation; increase it to invalidate cached results."""

TRIVIAL, LINEAR = "majority", "linear"
"""The names of the two baselines of every task."""

_FIT_SAMPLES = 10_000
"""The maximum of a linear model's training samples, chosen at random: takes two minutes at most."""

_ITERATIONS = 300
_LOGISTIC_C = (1e-3, 1e-2, 1e-1, 1.0)
_SPARSE_LOGISTIC_C = (0.03, 0.3, 3.0, 30.0)
_RIDGE_ALPHA = (1.0, 10.0, 100.0, 1000.0)


def measure_baselines(task: TaskData, *, cache: Path = DEFAULT_CACHE) -> dict[str, float]:
    """Measure the simple models on a task's test split, or read the results from the cache.

    Returns:
        The values of the task's metric by baseline: ``majority`` (for families without classes
        the mean) and ``linear``; for summarization, extracted sentences.
    """
    file = cache / "baselines" / f"{task.route.replace('/', '-')}-{_fingerprint(task)}.json"
    if file.is_file():
        return {name: float(value) for name, value in json.loads(file.read_text()).items()}
    values = _compute(task)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
    return values


def constant_baseline(task: TaskData, split: str) -> dict[str, float]:
    """Measure the best constant answer to the very samples that are measured on.

    Of forecasts these are the last value repeated, and the last season repeated. Quantiles and
    calibration have none.

    Args:
        task: A task of classes, tags, quantities or forecasts.
        split: The split that is measured.
    """
    data = task.splits[split]
    if task.metric in OF_QUANTILES or task.metric in _OF_SCORES:
        return {}
    targets = np.stack([np.asarray(target) for target in data.targets])
    measure = METRICS[task.metric].measure
    if task.family is TaskFamily.FORECASTING:
        assert data.scales is not None
        contexts = np.stack([sample["values"] for sample in data.samples])
        horizon, scales = targets.shape[1], data.scales[:, None]
        forecasts = {
            NAIVE: repeat_last(contexts, horizon),
            SEASONAL: repeat_season(contexts, horizon),
        }
        return {
            name: measure(forecast / scales, targets / scales)
            for name, forecast in forecasts.items()
        }
    if targets.ndim == 2:
        answer: Array = targets.mean(axis=0)
    else:
        answer = np.bincount(targets.astype(np.int64), minlength=len(task.labels))
    return {TRIVIAL: measure(np.tile(answer, (len(targets), 1)), targets)}


def _fingerprint(task: TaskData) -> str:
    sizes = {name: len(split) for name, split in task.splits.items()}
    parts: list[object] = [_VERSION, task.preprocess.model_dump(mode="json"), sizes]
    if task.further_metrics or task.further_tests or task.block:
        parts += [task.metric, task.test_name]
    if task.form is not TargetForm.PLAIN:
        parts += [task.form, task.metric]
    if task.block:
        parts += [dict(task.block)]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _compute(task: TaskData) -> dict[str, float]:
    if measure := FORM_BASELINES.get(task.form):
        return measure(task, _features_of(task))
    if task.metric in OF_QUANTILES:
        return {}
    target = task.splits["train"].targets[0]
    if task.family is TaskFamily.SEGMENTATION and np.ndim(target) == 0:
        return _classification(task)
    return _FAMILIES[task.family](task)


def _subsample(split: Split, most: int = _FIT_SAMPLES) -> Split:
    if len(split) <= most:
        return split
    return split.take(np.sort(np.random.default_rng(0).permutation(len(split))[:most]))


def _matrix(task: TaskData, split: Split) -> Any:
    return _features_of(task)(split.samples)


def _features_of(task: TaskData) -> Callable[[Sequence[Sample]], Any]:
    # Imported late: it loads torch, which measuring a head does not need.
    from omnivec2.training.modalities import modality_training

    return modality_training(task.modality).plain_features


def _classification(task: TaskData) -> dict[str, float]:
    """Measure the majority class and logistic regression."""
    metric = METRICS[task.metric].measure
    test = task.splits["test"]
    labels = np.asarray(test.targets[:])
    shares = np.bincount(np.asarray(task.splits["train"].targets[:]), minlength=len(task.labels))
    trivial = metric(np.tile(shares, (len(test), 1)), labels)
    model = fit_logistic(task)
    return {TRIVIAL: trivial, LINEAR: metric(model(_matrix(task, test)), labels)}


def fit_logistic(task: TaskData) -> Callable[[Any], Array]:
    """Fit a logistic regression to a task.

    Returns:
        A function from features to scores [n, classes].
    """
    metric = METRICS[task.metric].measure
    train, val = _subsample(task.splits["train"]), _subsample(task.splits["val"])
    features, labels = _matrix(task, train), np.asarray(train.targets[:])
    val_features, val_labels = _matrix(task, val), np.asarray(val.targets[:])
    # Sparse bags of words must stay sparse: they are scaled without being centred.
    dense = isinstance(features, np.ndarray)
    scaler = (StandardScaler() if dense else MaxAbsScaler()).fit(features)
    features, val_features = scaler.transform(features), scaler.transform(val_features)
    model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    best, chosen = -np.inf, model
    for strength in _LOGISTIC_C if dense else _SPARSE_LOGISTIC_C:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # Correlated features converge slowly; the score on ``val`` decides anyway.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, labels)
        score = metric(_scores(model, val_features, len(task.labels)), val_labels)
        if score <= best:  # weaker regularisation only overfits from here on
            break
        best, chosen = score, copy.deepcopy(model)
    return lambda queries: _scores(chosen, scaler.transform(queries), len(task.labels))


def _scores(model: Any, features: Any, classes: int) -> Array:
    out = np.zeros((features.shape[0], classes))
    # Classes that no training sample has get no column from scikit-learn.
    out[:, model.classes_] = model.predict_proba(features)
    return out


def linear_answers(task: TaskData) -> Array:
    """Return the linear model's answers to a task's test part.

    Args:
        task: A task of one class or of quantities per sample.

    Returns:
        Probabilities [n, classes], or values [n, targets].
    """
    queries = _matrix(task, task.splits["test"])
    if task.family is TaskFamily.CLASSIFICATION:
        return fit_logistic(task)(queries)
    return fit_ridge(task)(queries)


def fit_ridge(task: TaskData) -> Callable[[Any], Array]:
    """Fit a ridge regression to a task.

    Returns:
        A function from features to values [n, targets].
    """
    metric = METRICS[task.metric].measure
    train, val = task.splits["train"], task.splits["val"]
    known, wanted = (np.stack(list(split.targets)) for split in (train, val))
    features, val_features = _matrix(task, train), _matrix(task, val)
    # Sparse bags of words must stay sparse: they are scaled without being centred.
    scaler = StandardScaler if isinstance(features, np.ndarray) else MaxAbsScaler
    models = [
        make_pipeline(scaler(), Ridge(alpha=alpha)).fit(features, known) for alpha in _RIDGE_ALPHA
    ]
    best = min(models, key=lambda model: metric(_rows(model.predict(val_features)), wanted))
    return lambda queries: _rows(best.predict(queries))


def _regression(task: TaskData) -> dict[str, float]:
    """Measure the mean of the training targets and ridge regression."""
    metric = METRICS[task.metric].measure
    known = np.stack(list(task.splits["train"].targets))
    test = task.splits["test"]
    wanted = np.stack(list(test.targets))
    mean = np.tile(known.mean(axis=0), (len(test), 1))
    answers = fit_ridge(task)(_matrix(task, test))
    return {TRIVIAL: metric(mean, wanted), LINEAR: metric(answers, wanted)}


def _rows(values: Array) -> Array:
    return np.asarray(values).reshape(len(values), -1)


def _forecasting(task: TaskData) -> dict[str, float]:
    """Measure each series' training mean, and one ridge regression over all series.

    Series are standardised by the mean and deviation of their training windows, as in the
    tables of the literature.
    """
    metric = METRICS[task.metric].measure
    train = task.splits["train"]
    assert train.scales is not None
    # Training windows of a series are adjacent and share a scale, which identifies the series.
    centres = {
        scale: float(np.mean([train.samples[i]["values"].mean() for i in rows]))
        for scale in np.unique(train.scales)
        if len(rows := np.flatnonzero(train.scales == scale)[::50])
    }

    def standardised(split: Split, most: int) -> tuple[Array, Array]:
        part = _subsample(split, most)
        assert part.scales is not None
        centre = np.array([[centres[scale]] for scale in part.scales])
        scale = part.scales[:, None]
        values = np.stack([sample["values"] for sample in part.samples])
        return (values - centre) / scale, (np.stack(list(part.targets)) - centre) / scale

    fit = standardised(train, _FIT_SAMPLES)
    val = standardised(task.splits["val"], _FIT_SAMPLES)
    inputs, future = standardised(task.splits["test"], len(task.splits["test"]))
    models = [Ridge(alpha=alpha).fit(*fit) for alpha in _RIDGE_ALPHA]
    best = min(models, key=lambda model: metric(model.predict(val[0]), val[1]))
    trivial = metric(np.zeros_like(future), future)
    return {TRIVIAL: trivial, LINEAR: metric(best.predict(inputs), future)}


_FAMILIES: dict[TaskFamily, Callable[[TaskData], dict[str, float]]] = {
    TaskFamily.CLASSIFICATION: _classification,
    TaskFamily.REGRESSION: _regression,
    TaskFamily.FORECASTING: _forecasting,
    TaskFamily.SEGMENTATION: segmentation_baselines,
    TaskFamily.DETECTION: detection_baselines,
    TaskFamily.SUMMARIZATION: summarization_baselines,
}
