"""The figures of simple models with the same labels, on the arrays the network gets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from omnivec2.preprocess import Array
from omnivec2.spec import Modality
from omnivec2.training.adaptation.answer_forms import AnswerForm, form_of, mean_by_item
from omnivec2.training.adaptation.fitting.labelled_summaries import measure_answers
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.adaptation.reading.forecast_series import context_units
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.reading.validation_folds import FOLDS
from omnivec2.training.evaluation.baselines.series_baselines import (
    NAIVE,
    SEASONAL,
    repeat_last,
    repeat_season,
)
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_models import LINEAR, TRIVIAL
from omnivec2.training.modalities import modality_training

_LOGISTIC_C = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_SPARSE_LOGISTIC_C = (0.03, 0.3, 3.0, 30.0)
_RIDGE_ALPHA = (1000.0, 100.0, 10.0, 1.0, 0.1)
_ITERATIONS = 200


def baselines(
    modality: Modality,
    train: Prepared,
    test: Prepared,
    *,
    classes: int,
    metric: str,
    seed: int,
) -> dict[str, float]:
    """Measure majority class or mean, and a logistic or ridge regression, on the test part.

    The strength of the penalty is chosen in one of the folds that the head is chosen in; the
    model is then fitted to all labelled samples, as the head is. Of forecasts the last value
    repeated and the last season repeated are measured instead of the mean.

    Args:
        modality: The modality, which decides the features that a linear model is given.
        train: The labelled part.
        test: The part that is measured on.
        classes: The number of classes or tags; 0 for quantities.
        metric: The name of the task's metric.
        seed: The seed of the folds.
    """
    if test.scales is not None:
        return _of_forecasts(train, test, metric)
    measure = METRICS[metric].measure
    if not classes or train.labels.ndim == 2:
        shares = train.labels.mean(axis=0)
    else:
        shares = np.bincount(train.labels, minlength=classes).astype(np.float64)
    trivial = np.tile(shares, (len(test.labels), 1))
    features = modality_training(modality).plain_features
    x, x_test = features(train.samples), features(test.samples)
    with one_thread_per_fit():
        x, x_test = _narrowed(x, x_test)
        model = _chosen(x, train, classes, metric, seed)
        predicted = mean_by_item(_answers(model, x_test, classes), test.item)[1]
    return {TRIVIAL: measure(trivial, test.labels), LINEAR: measure(predicted, test.labels)}


def _of_forecasts(train: Prepared, test: Prepared, metric: str) -> dict[str, float]:
    """Measure forecasts in the deviation of each context, with the same scales as the head's."""
    horizon = test.labels.shape[1]
    fitted, contexts = _contexts(train), _contexts(test)
    assert train.folds is not None
    assert train.scales is not None
    held = train.folds == 0
    weights = 1.0 / np.square(train.scales)
    best: tuple[float, Any] = (np.inf, None)
    with one_thread_per_fit():
        for alpha in _RIDGE_ALPHA:
            model = Ridge(alpha=alpha).fit(fitted[~held], train.labels[~held], weights[~held])
            guess = model.predict(fitted[held]).reshape(-1, horizon)
            error = measure_answers(metric, guess, train.labels[held], train.scales[held])
            if error < best[0] or best[1] is None:
                best = error, alpha
        linear = Ridge(alpha=best[1]).fit(fitted, train.labels, weights).predict(contexts)
    answers = {
        NAIVE: repeat_last(contexts, horizon),
        SEASONAL: repeat_season(contexts, horizon),
        LINEAR: linear.reshape(-1, horizon),
    }
    return {
        name: measure_answers(metric, answer, test.labels, test.scales)
        for name, answer in answers.items()
    }


def _contexts(part: Prepared) -> Array:
    """Return contexts in their own deviation, [n, context]."""
    values = np.stack([sample["values"] for sample in part.samples]).astype(np.float64)
    location, scale = context_units(values)
    return np.asarray((values - location) / scale)


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
    held_items = np.flatnonzero(train.validation_folds(FOLDS, seed=seed) == 0)
    held = np.isin(train.item, held_items)
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    best: tuple[float, Any] = (-np.inf, None)
    for model in _models(x, train):
        _fit(model, x[~held], labels[~held])
        predicted = mean_by_item(_answers(model, x[held], classes), train.item[held])[1]
        value = sign * METRICS[metric].measure(predicted, train.labels[np.sort(held_items)])
        if np.isnan(value):  # no held-out input has a tag, or all have it
            value = -np.inf
        if value < best[0]:  # a weaker penalty only overfits from here on
            break
        if value > best[0] or best[1] is None:
            best = value, model
    return _fit(best[1], x, labels)


def _models(x: Any, train: Prepared) -> list[Any]:
    form = form_of(train.labels)
    if form is AnswerForm.QUANTITIES:
        return [make_pipeline(Ridge(alpha=alpha)) for alpha in _RIDGE_ALPHA]
    is_dense = isinstance(x, np.ndarray)
    strengths = _LOGISTIC_C if is_dense else _SPARSE_LOGISTIC_C
    models: list[Any] = [LogisticRegression(C=c, max_iter=_ITERATIONS) for c in strengths]
    if form is AnswerForm.TAGS:
        models = [OneVsRestClassifier(model) for model in models]
    # Sparse bags must stay sparse: they are scaled without being centred.
    scaling = [] if is_dense else [MaxAbsScaler()]
    return [make_pipeline(*scaling, model) for model in models]


def _fit(model: Any, x: Any, labels: Array) -> Any:
    with warnings.catch_warnings():
        # Features that depend on one another converge slowly; validation has the last word.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # A tag that all labelled inputs of a fold have, or none.
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        return model.fit(x, labels)


def _answers(model: Any, x: Any, classes: int) -> Array:
    if not classes:
        return np.asarray(model.predict(x)).reshape(x.shape[0], -1)
    if isinstance(model[-1], OneVsRestClassifier):
        return np.asarray(model.predict_proba(x))
    out = np.zeros((x.shape[0], classes))
    # Classes that no training sample has get no column from scikit-learn.
    out[:, model[-1].classes_] = model.predict_proba(x)
    return out
