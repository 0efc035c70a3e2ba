"""Probing of embeddings: simple models on embeddings, compared with the same on raw arrays.

Classes and quantities are predicted from the five nearest training samples; series, whose
embedding describes their shape and not their level, by a ridge regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import TaskFamily
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.metrics.class_metrics import mean_average_precision
from omnivec2.training.evaluation.resampling.sampled_figure import SampledFigure, mean_figure

NEIGHBOURS = 5
TRAIN_SAMPLES, TEST_SAMPLES = 2000, 2000
_ALPHA = 10.0

Embed = Callable[[Sequence[Sample]], Array]


@dataclass(frozen=True)
class Probe:
    """The result of a probe: a metric from embeddings, and the same from raw arrays.

    Attributes:
        metric: The name of the metric.
        figure: The figure from embeddings, over the test samples.
        raw: The value from raw arrays.
        higher_is_better: Whether a higher value is better.
    """

    metric: str
    figure: SampledFigure
    raw: float
    higher_is_better: bool

    @property
    def samples(self) -> int:
        """The number of test samples."""
        return self.figure.samples

    @property
    def value(self) -> float:
        """The value from embeddings."""
        return self.figure.value


_PROBED_FORMS = (TargetForm.PLAIN, TargetForm.MULTI_LABEL, TargetForm.ANOMALY)


def can_probe(task: TaskData) -> bool:
    """Whether a task has a class, labels, quantities or a forecast for every sample."""
    target = task.splits["train"].targets[0]
    return (
        task.form in _PROBED_FORMS
        and isinstance(target, int | float | np.generic | np.ndarray)
        and np.ndim(target) < 2
    )


def probe(task: TaskData, embed: Embed, *, split: str = "test") -> Probe:
    """Measure an embedding on a task of its modality.

    Args:
        task: The data, with a class, a quantity or a forecast per sample.
        embed: A function from samples to embeddings [n, d].
        split: The split to measure on.
    """
    train = _subsample(task.splits["train"], TRAIN_SAMPLES)
    test = _subsample(task.splits[split], TEST_SAMPLES)
    embedded = embed(train.samples), embed(test.samples)
    # Imported late: it loads torch, which measuring a head does not need.
    from omnivec2.training.modalities import modality_training

    features = modality_training(task.modality).plain_features
    raw = features(train.samples), features(test.samples)
    if isinstance(raw[0], np.ndarray):
        scaler = StandardScaler().fit(raw[0])
        raw = scaler.transform(raw[0]), scaler.transform(raw[1])
    if task.family is TaskFamily.FORECASTING:
        measure, name, higher = _series_error, "linear probe mse", False
    elif task.family is TaskFamily.REGRESSION:
        measure, name, higher = _value_error, f"{NEIGHBOURS}-nn rmse", False
    elif task.form is not TargetForm.PLAIN:
        measure, name, higher = _label_precision, f"{NEIGHBOURS}-nn map", True
    else:
        measure, name, higher = _class_accuracy, f"{NEIGHBOURS}-nn accuracy", True
    return Probe(
        metric=name,
        figure=measure(*embedded, train, test),
        raw=measure(*raw, train, test).value,
        higher_is_better=higher,
    )


def _subsample(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.take(np.sort(np.random.default_rng(0).permutation(len(split))[:most]))


def _class_accuracy(known: Any, queries: Any, train: Split, test: Split) -> SampledFigure:
    model = KNeighborsClassifier(min(NEIGHBOURS, len(train)), metric="cosine", algorithm="brute")
    model.fit(known, np.asarray(train.targets[:]))
    right = model.predict(queries) == np.asarray(test.targets[:])
    return mean_figure(right.astype(np.float64))


def _label_precision(known: Any, queries: Any, train: Split, test: Split) -> SampledFigure:
    model = KNeighborsRegressor(min(NEIGHBOURS, len(train)), metric="cosine", algorithm="brute")
    model.fit(known, np.stack(list(train.targets)).astype(np.float64))
    shares, wanted = model.predict(queries).reshape(len(test), -1), np.stack(list(test.targets))
    return SampledFigure(
        len(test), lambda rows: mean_average_precision(shares[rows], list(wanted[rows]))
    )


def _value_error(known: Any, queries: Any, train: Split, test: Split) -> SampledFigure:
    model = KNeighborsRegressor(min(NEIGHBOURS, len(train)), metric="cosine", algorithm="brute")
    model.fit(known, np.stack(list(train.targets)))
    squares = np.square(model.predict(queries) - np.stack(list(test.targets)))
    return SampledFigure(len(test), lambda rows: float(np.sqrt(squares[rows].mean())))


def _series_error(known: Any, queries: Any, train: Split, test: Split) -> SampledFigure:
    """Return the error in standard units of forecasts made in each window's own units."""
    assert test.scales is not None
    middle, spread = _window_statistics(train)
    model = Ridge(alpha=_ALPHA).fit(known, (np.stack(list(train.targets)) - middle) / spread)
    middle, spread = _window_statistics(test)
    error = model.predict(queries) * spread + middle - np.stack(list(test.targets))
    return mean_figure(np.square(error / test.scales[:, None]).mean(axis=1))


def _window_statistics(split: Split) -> tuple[Array, Array]:
    values = np.stack([sample["values"] for sample in split.samples])
    return values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True) + 1e-5
