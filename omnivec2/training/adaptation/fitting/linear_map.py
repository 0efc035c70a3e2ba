"""A linear map as two fully connected layers: the best there is where labels are few.

GELU(z) - GELU(-z) = z, so two layers of which the first holds a map and its opposite, and the
second their difference, are that map exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array

_ITERATIONS = 500
_TOLERANCE = 1e-6
"""Tolerance of the gradient: close enough for the same answers from any start."""

_ABSENT = -30.0
"""The logit of a class that no labelled input has."""

PENALTIES = {"classes": (1e4, 1e3, 1e2, 1e1, 1.0), "quantities": (0.1, 1.0, 10.0, 1e2, 1e3)}
"""Penalties of the squares of the weights, on summaries in standard units."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map of standardised summaries.

    Attributes:
        weight: The weights, [outputs, summaries].
        bias: The biases, [outputs].
    """

    weight: Array
    bias: Array

    def answers(self, x: Array) -> Array:
        """Return logits, or quantities in standard units, [n, outputs]."""
        return np.asarray(x @ self.weight.T + self.bias)

    @torch.no_grad()
    def set_into(self, head: FullyConnectedHead) -> None:
        """Set a head's layers to this map; the head has two hidden units per output."""
        weight, bias = (torch.from_numpy(part).float() for part in (self.weight, self.bias))
        head.first.weight.copy_(torch.cat([weight, -weight]))
        head.first.bias.copy_(torch.cat([bias, -bias]))
        identity = torch.eye(len(bias))
        head.second.weight.copy_(torch.cat([identity, -identity], dim=1))
        head.second.bias.zero_()


def fit_linear_map(
    x: Array, y: Array, weights: Array, penalty: float, *, classes: int
) -> LinearMap:
    """Fit a logistic or ridge regression.

    Args:
        x: The summaries in standard units, [n, summaries].
        y: The classes [n], or the quantities in standard units [n, outputs].
        weights: The weight of each sample.
        penalty: The penalty of the squares of the map's weights.
        classes: The number of classes; 0 for quantities.
    """
    turned, back = _turned(x)
    [fitted] = _fits(turned, y, weights, [penalty], classes)
    return LinearMap(fitted.weight @ back, fitted.bias)


def validated(
    x: Array, y: Array, weights: Array, folds: Sequence[Array], *, classes: int
) -> Iterator[tuple[float, Array]]:
    """Yield every penalty with answers [n, outputs] by maps that were not fitted to the sample.

    Args:
        x: The summaries, as in :func:`fit_linear_map`.
        y: The targets, likewise.
        weights: The weight of each sample.
        folds: The samples that each fold holds out, bool [n]; samples of none get NaN.
        classes: The number of classes; 0 for quantities.
    """
    penalties = PENALTIES["classes" if classes else "quantities"]
    answers = np.full((len(penalties), len(x), classes or y.shape[1]), np.nan)
    turned, _ = _turned(x)
    for held in folds:
        kept = ~held
        fits = _fits(turned[kept], y[kept], weights[kept], penalties, classes)
        for number, fitted in enumerate(fits):
            answers[number, held] = fitted.answers(turned[held])
    return zip(penalties, answers, strict=True)


def _turned(x: Array) -> tuple[Array, Array]:
    """Return samples on axes that span them, [n, r], and the axes, [r, summaries].

    r is the smaller of n and the number of summaries. The penalty would shrink weights across
    the span of the samples to 0, so none are lost; and it is the same on any orthogonal axes.
    """
    axes, coordinates = np.linalg.qr(x.T.astype(np.float64))
    return np.ascontiguousarray(coordinates.T), axes.T


def _fits(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], classes: int
) -> Iterator[LinearMap]:
    """Yield a map for every penalty; as penalties fall, each fit starts near its end."""
    if classes:
        yield from _logistic(x, y, weights, penalties, classes)
        return
    outputs = y.shape[1]
    for penalty in penalties:
        ridge = Ridge(alpha=penalty).fit(x, y, sample_weight=weights)
        bias = np.broadcast_to(ridge.intercept_, outputs).copy()
        yield LinearMap(ridge.coef_.reshape(outputs, -1), bias)


def _logistic(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], classes: int
) -> Iterator[LinearMap]:
    known = np.unique(y)
    model = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    for penalty in penalties:
        weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, _ABSENT)
        bias[known] = 0.0
        if len(known) > 1:
            with warnings.catch_warnings():
                # Validation decides about fits that have not converged.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=1.0 / penalty).fit(x, y, sample_weight=weights)
            # Of two classes scikit-learn keeps the second's logit alone.
            places = known if len(known) > 2 else known[1:]
            weight[places], bias[places] = model.coef_, model.intercept_
        yield LinearMap(weight, bias)
