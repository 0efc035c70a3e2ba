"""The figures of a linear model with the same labels, on the arrays the network gets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from omnivec2.preprocess import Array
from omnivec2.spec import Modality
from omnivec2.training.adaptation.fitting.labelled_summaries import mean_by_item
from omnivec2.training.adaptation.fitting.model_selection import FOLDS
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.reading.read_data import folds_of
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_models import LINEAR, TRIVIAL
from omnivec2.training.modalities import modality_training

_LOGISTIC_C = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_SPARSE_LOGISTIC_C = (0.03, 0.3, 3.0, 30.0)
_RIDGE_ALPHA = (1000.0, 100.0, 10.0, 1.0, 0.1)
_ITERATIONS = 200


def baselines(
    modality: Modality, train: Prepared, test: Prepared, *, classes: int, metric: str, seed: int
) -> dict[str, float]:
    """Measure majority class or mean, and a logistic or ridge regression, on the test part.

    The strength of the penalty is chosen in one of the folds that the head is chosen in; the
    model is then fitted to all labelled samples, as the head is.

    Args:
        modality: The modality, which decides the features that a linear model is given.
        train: The labelled part.
        test: The part that is measured on.
        classes: The number of classes; 0 for quantities.
        metric: The name of the task's metric.
        seed: The seed of the folds.
    """
    measure = METRICS[metric].measure
    if classes:
        shares = np.bincount(train.labels, minlength=classes)
        trivial = np.tile(shares, (len(test.labels), 1)).astype(np.float64)
    else:
        trivial = np.tile(train.labels.mean(axis=0), (len(test.labels), 1))
    features = modality_training(modality).plain_features
    x, x_test = features(train.samples), features(test.samples)
    with one_thread_per_fit():
        x, x_test = _narrowed(x, x_test)
        model = _chosen(x, train, classes, metric, seed)
        predicted = mean_by_item(_answers(model, x_test, classes), test.item)[1]
    return {TRIVIAL: measure(trivial, test.labels), LINEAR: measure(predicted, test.labels)}


def _narrowed(x: Any, x_test: Any) -> tuple[Any, Any]:
    """Return fewer features that give a linear model with a penalty of squares the same answers.

    Columns that no training sample has, and directions across the span of all of them, get no
    weight.
    """
    if not isinstance(x, np.ndarray):
        used = np.flatnonzero(x.getnnz(axis=0))
        return x[:, used], x_test[:, used]
    scaler = StandardScaler().fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    if x.shape[1] <= x.shape[0]:
        return x, x_test
    axes, _ = np.linalg.qr(x.T)
    return x @ axes, x_test @ axes


def _chosen(x: Any, train: Prepared, classes: int, metric: str, seed: int) -> Any:
    labels = train.labels[train.item]
    strata = train.labels if classes else np.zeros(len(train.labels), dtype=np.int64)
    held_items = np.flatnonzero(folds_of(strata, FOLDS, seed=seed) == 0)
    held = np.isin(train.item, held_items)
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    best: tuple[float, Any] = (-np.inf, None)
    for model in _models(x, classes):
        _fit(model, x[~held], labels[~held])
        predicted = mean_by_item(_answers(model, x[held], classes), train.item[held])[1]
        value = sign * METRICS[metric].measure(predicted, train.labels[np.sort(held_items)])
        if value < best[0]:  # a weaker penalty only overfits from here on
            break
        if value > best[0]:
            best = value, model
    return _fit(best[1], x, labels)


def _models(x: Any, classes: int) -> list[Any]:
    if not classes:
        return [make_pipeline(Ridge(alpha=alpha)) for alpha in _RIDGE_ALPHA]
    if isinstance(x, np.ndarray):
        return [
            make_pipeline(LogisticRegression(C=strength, max_iter=_ITERATIONS))
            for strength in _LOGISTIC_C
        ]
    # Sparse bags must stay sparse: they are scaled without being centred.
    return [
        make_pipeline(MaxAbsScaler(), LogisticRegression(C=strength, max_iter=_ITERATIONS))
        for strength in _SPARSE_LOGISTIC_C
    ]


def _fit(model: Any, x: Any, labels: Array) -> Any:
    with warnings.catch_warnings():
        # Features that depend on one another converge slowly; validation has the last word.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, labels)


def _answers(model: Any, x: Any, classes: int) -> Array:
    if not classes:
        return np.asarray(model.predict(x)).reshape(x.shape[0], -1)
    out = np.zeros((x.shape[0], classes))
    # Classes that no training sample has get no column from scikit-learn.
    out[:, model[-1].classes_] = model.predict_proba(x)
    return out
