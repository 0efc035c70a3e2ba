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
"""Of the gradient: close enough for the same answers from any start."""

_ABSENT = -30.0
"""Logit of a class that no labelled input has."""

PENALTIES = {"classes": (1e4, 1e3, 1e2, 1e1, 1.0), "quantities": (0.1, 1.0, 10.0, 1e2, 1e3)}
"""Of the squares of the weights, on summaries in standard units."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map of standardised summaries.

    Attributes:
        weight: [outputs, summaries].
        bias: [outputs].
    """

    weight: Array
    bias: Array

    def answers(self, x: Array) -> Array:
        """[n, outputs]: logits, or quantities in standard units."""
        return np.asarray(x @ self.weight.T + self.bias)

    @torch.no_grad()
    def set_into(self, head: FullyConnectedHead) -> None:
        """Make a head's layers this map; it has twice as many hidden numbers as outputs."""
        weight, bias = (torch.from_numpy(part).float() for part in (self.weight, self.bias))
        head.first.weight.copy_(torch.cat([weight, -weight]))
        head.first.bias.copy_(torch.cat([bias, -bias]))
        one = torch.eye(len(bias))
        head.second.weight.copy_(torch.cat([one, -one], dim=1))
        head.second.bias.zero_()


def fit_linear_map(
    x: Array, y: Array, weights: Array, penalty: float, *, classes: int
) -> LinearMap:
    """Logistic or ridge regression.

    Args:
        x: [n, summaries] in standard units.
        y: classes [n], or quantities in standard units [n, outputs].
        weights: how much each sample counts.
        penalty: of the weights' squares.
        classes: how many; 0 for quantities.
    """
    turned, back = _turned(x)
    [fitted] = _fits(turned, y, weights, [penalty], classes)
    return LinearMap(fitted.weight @ back, fitted.bias)


def validated(
    x: Array, y: Array, weights: Array, folds: Sequence[Array], *, classes: int
) -> Iterator[tuple[float, Array]]:
    """Every penalty with its answers [n, outputs] by maps that were not fitted to the sample.

    Args:
        x: as in :func:`fit_linear_map`.
        y: likewise.
        weights: likewise.
        folds: bool [n] each, the samples that are held out; those of none get no answer, NaN.
        classes: likewise.
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
    """Samples on axes that span them: [n, r] and the axes [r, summaries], r the lesser of both.

    Weights across what the samples span would only cost, so none are lost; and the squares that
    the penalty counts are the same on any axes.
    """
    axes, coordinates = np.linalg.qr(x.T.astype(np.float64))
    return np.ascontiguousarray(coordinates.T), axes.T


def _fits(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], classes: int
) -> Iterator[LinearMap]:
    """A map for every penalty; where they fall, each fit starts near its end."""
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
                # Validation has the last word on what has not converged.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=1.0 / penalty).fit(x, y, sample_weight=weights)
            # Of two classes scikit-learn keeps the second's logit alone.
            places = known if len(known) > 2 else known[1:]
            weight[places], bias[places] = model.coef_, model.intercept_
        yield LinearMap(weight, bias)
