"""Gradient-boosted trees on the columns of a table: what most people would take for tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data.base import TargetForm, TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS

BOOSTED_TREES = "boosted trees"
"""The name of the model beside others."""

_MOST_CODES = 254
"""The categories that scikit-learn's trees can tell apart in one column."""

_SETTINGS = (
    {"learning_rate": 0.05, "max_leaf_nodes": 15},
    {"learning_rate": 0.05, "max_leaf_nodes": 31},
    {"learning_rate": 0.1, "max_leaf_nodes": 31, "l2_regularization": 1.0},
)
_MOST_TREES = 600
_PATIENCE = 20


def boosted_trees(task: TaskData, metric: str) -> dict[str, float]:
    """Measure boosted trees on a table's test part; the best setting on ``val`` is taken.

    Args:
        task: The task.
        metric: The name of the metric.

    Returns:
        The value by the model's name; nothing for other inputs than tables, or other answers
        than one class or one quantity.
    """
    is_class = task.family is TaskFamily.CLASSIFICATION
    if (
        task.modality is not Modality.TABULAR
        or task.form is not TargetForm.PLAIN
        or not (is_class or (task.family is TaskFamily.REGRESSION and len(task.targets) == 1))
        or not {"train", "val", "test"} <= task.splits.keys()
    ):
        return {}
    parts = {name: _columns(task.splits[name].samples) for name in ("train", "val", "test")}
    targets = {name: _targets(task.splits[name].targets, is_class) for name in parts}
    categories = _categories(task.splits["train"].samples[0], parts["train"])
    measure = METRICS[metric]
    sign = 1.0 if measure.higher_is_better else -1.0

    def value(model: Any, part: str) -> float:
        answers = _answers(model, parts[part], len(task.labels) if is_class else 0)
        return measure.measure(answers, targets[part] if is_class else targets[part][:, None])

    models = []
    for settings in _SETTINGS:
        kind = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
        model = kind(
            max_iter=_MOST_TREES, early_stopping=True, n_iter_no_change=_PATIENCE,
            categorical_features=categories, random_state=0, **settings,
        )  # fmt: skip
        model.fit(parts["train"], targets["train"], X_val=parts["val"], y_val=targets["val"])
        models.append(model)
    best = max(models, key=lambda model: sign * value(model, "val"))
    return {BOOSTED_TREES: value(best, "test")}


def _columns(samples: Sequence[Sample]) -> Array:
    """Return numbers, NaN where they are missing, and codes of categories, [rows, columns]."""
    numbers = np.stack([sample["numbers"] for sample in samples]).astype(np.float64)
    missing = np.stack([sample["missing"] for sample in samples]) > 0
    codes = np.stack([sample["categories"] for sample in samples]).astype(np.float64)
    return np.concatenate([np.where(missing, np.nan, numbers), codes], axis=1)


def _categories(sample: Sample, columns: Array) -> Array:
    """Return which columns are categories, and few enough to be told apart, bool [columns]."""
    first = len(sample["numbers"])
    is_category = np.arange(columns.shape[1]) >= first
    return np.asarray(is_category & (np.nanmax(columns, axis=0) <= _MOST_CODES))


def _targets(targets: Any, is_class: bool) -> Array:
    return np.asarray(targets[:]) if is_class else np.stack(list(targets)).reshape(-1)


def _answers(model: Any, columns: Array, classes: int) -> Array:
    """Return scores [n, classes], or values [n, 1]."""
    if not classes:
        return np.asarray(model.predict(columns)).reshape(-1, 1)
    scores = np.zeros((len(columns), classes))
    scores[:, model.classes_] = model.predict_proba(columns)
    return scores
