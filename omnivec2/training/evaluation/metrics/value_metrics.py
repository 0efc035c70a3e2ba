"""Metrics of numbers: quantities, forecasts with quantiles, and maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import mean_pinball_loss

from omnivec2.preprocess import Array

_RATIO = 1.25
"""The largest ratio of a correct depth, the "1" of delta1 (Eigen et al., 2014)."""


class QuantileForecast(NamedTuple):
    """A forecast with quantiles, divided by the series' scale as the targets are.

    Attributes:
        mean: The expected values, [horizon].
        quantiles: The values of each level, [levels, horizon].
        levels: The levels in 0..1.
    """

    mean: Array
    quantiles: Array
    levels: tuple[float, ...]


def known_pairs(values: Sequence[Array] | Array, targets: Sequence[Array]) -> tuple[Array, Array]:
    """Return all values and the targets that they belong to, [n]; without targets that are NaN."""
    found = np.concatenate([np.ravel(value) for value in values])
    real = np.concatenate([np.ravel(target) for target in targets])
    known = np.isfinite(real)
    return found[known], real[known]


def mae(values: Sequence[Array] | Array, targets: Sequence[Array]) -> float:
    """Compute the mean absolute error over samples and targets, in the targets' units.

    For series, both are divided by ``Split.scales`` beforehand.
    """
    found, real = known_pairs(values, targets)
    return float(np.mean(np.abs(found - real)))


def pinball(forecasts: Sequence[QuantileForecast], targets: Sequence[Array]) -> float:
    """Compute the mean over levels of the pinball loss, in units of the series' scale."""
    real = np.concatenate([np.ravel(target) for target in targets])
    found = np.concatenate([forecast.quantiles for forecast in forecasts], axis=1)
    levels = forecasts[0].levels
    losses = [mean_pinball_loss(real, row, alpha=a) for a, row in zip(levels, found, strict=True)]
    return float(np.mean(losses))


def coverage(forecasts: Sequence[QuantileForecast], targets: Sequence[Array]) -> float:
    """Compute the share of values between the lowest and the highest quantile."""
    inside = [
        (target >= forecast.quantiles[0]) & (target <= forecast.quantiles[-1])
        for forecast, target in zip(forecasts, targets, strict=True)
    ]
    return float(np.mean(inside))


def abs_rel(maps: Sequence[Array], references: Sequence[Array]) -> float:
    """Compute the mean of absolute errors relative to the real depth."""
    found, real = _depths(maps, references)
    return float(np.mean(np.abs(found - real) / real))


def delta1(maps: Sequence[Array], references: Sequence[Array]) -> float:
    """Compute the share of pixels whose depth is wrong by a factor of less than 1.25."""
    found, real = _depths(maps, references)
    floor = np.maximum(found, np.finfo(np.float32).tiny)
    return float(np.mean(np.maximum(floor / real, real / floor) < _RATIO))


def _depths(maps: Sequence[Array], references: Sequence[Array]) -> tuple[Array, Array]:
    """Return depths and the real ones, [n]; pixels whose depth is unknown or 0 are left out."""
    found, real = known_pairs(maps, references)
    positive = real > 0
    return found[positive].astype(np.float64), real[positive].astype(np.float64)
