"""Fitting the reference that drift is measured from, to rows that were held out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from omnivec2.arrays import Array
from omnivec2.familiarity.distances import Familiarity
from omnivec2.familiarity.drift_reference import DriftReference, moments_distance

WINDOWS = (25, 50, 100, 200, 400, 800)
"""The lengths of windows that levels are measured for."""

LEAST_ROWS = 20
"""The fewest held-out rows that a reference is made of."""

_RESAMPLINGS, _WINDOWS_EACH = 200, 3
_DEVIATIONS = 3.09
"""The standard deviations above the mean that one of a thousand normal values exceeds."""
_TOLERATED = 0.5
"""A distance that is of no concern, however long the window: new data always differ a little."""
_PRIOR_ROWS = 10
"""The rows that the prior of a deviation counts as; few rows alone may hardly vary by chance."""
_PRIOR_OF_COORDINATES, _PRIOR_OF_DISTANCE = 1.0, 0.5
_SMALLEST_DISTANCE = 1e-6


def describe_rows(familiarity: Familiarity, summaries: Mapping[str, Array]) -> Array:
    """Return the description of each row, (rows, dimensions).

    Args:
        familiarity: The training reference of the head.
        summaries: The trunk's summaries: name -> array (rows, width).
    """
    distances = np.maximum(familiarity.distances(summaries), _SMALLEST_DISTANCE)
    coordinates = familiarity.coordinates(summaries)
    return np.concatenate([coordinates, np.log(distances)[:, None]], axis=1).astype(np.float32)


def fit_drift(rows_RD: Array, seed: int = 0) -> DriftReference | None:
    """Return the reference of held-out rows; None if they are too few.

    Args:
        rows_RD: The rows, as ``describe_rows`` gives them.
        seed: The seed of the resampling.
    """
    if len(rows_RD) < LEAST_ROWS:
        return None
    rows_RD = rows_RD.astype(np.float64)
    means, deviations = _moments(rows_RD)
    levels = [_level(rows_RD, length, np.random.default_rng(seed)) for length in WINDOWS]
    return DriftReference(
        means=_rounded(means),
        deviations=_rounded(deviations),
        windows=WINDOWS,
        levels=_rounded(np.array(levels)),
        rows=len(rows_RD),
    )


def _level(rows_RD: Array, length: int, rng: np.random.Generator) -> float:
    """Return the distance that windows of the same rows exceed by chance."""
    distances = []
    count = len(rows_RD)
    for _ in range(_RESAMPLINGS):
        reference = _moments(rows_RD[rng.integers(0, count, count)])
        for _ in range(_WINDOWS_EACH):
            window = rows_RD[rng.integers(0, count, length)]
            distances.append(moments_distance(window, *reference))
    chance = float(np.mean(distances) + _DEVIATIONS * np.std(distances))
    return math.hypot(chance, _TOLERATED)


def _moments(rows_RD: Array) -> tuple[Array, Array]:
    """Return the mean of each coordinate and its deviation, shrunk towards that of training."""
    prior_D = np.full(rows_RD.shape[1], _PRIOR_OF_COORDINATES**2)
    prior_D[-1] = _PRIOR_OF_DISTANCE**2
    count = len(rows_RD)
    variances = (count * rows_RD.var(axis=0) + _PRIOR_ROWS * prior_D) / (count + _PRIOR_ROWS)
    return rows_RD.mean(axis=0), np.sqrt(variances)


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
