"""A linear map as two fully connected layers: the best there is where labels are few.

GELU(z) - GELU(-z) = z, so two layers of which the first holds a map and its opposite, and the
second their difference, are that map exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array


class _Effort(NamedTuple):
    """The most passes over the samples, and the tolerance of the gradient."""

    iterations: int
    tolerance: float


_FINAL = _Effort(500, 1e-6)
"""Close enough for the same answers from any start."""

_TRIAL = _Effort(100, 1e-4)
"""Close enough to choose by."""

_MOST_NUMBERS = 4_000_000
"""Samples x axes x classes of a pass over all samples, which takes a few milliseconds."""

_LEAST_AXES = 256

_SPANNED = 1e-12
"""The share of the largest variance below which an axis is rounding."""

_ABSENT = -30.0
"""The logit of a class that no labelled input has."""

PENALTIES = {"classes": (1e4, 1e3, 1e2, 1e1, 1.0), "quantities": (1e3, 1e2, 10.0, 1.0, 0.1)}
"""Penalties of the squares of the weights, on summaries in standard units, the strongest first."""


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
        y: The classes [n], the tags [n, tags], or the quantities in standard units [n, outputs].
        weights: The weight of each sample.
        penalty: The penalty of the squares of the map's weights.
        classes: The number of classes or tags; 0 for quantities.
    """
    turned, back = _turned(x, classes)
    [fitted] = _fits(turned, y, weights, [penalty], classes, _FINAL)
    return LinearMap(fitted.weight @ back, fitted.bias)


class LinearPath:
    """Linear maps of the same samples with every penalty, the strongest first.

    Args:
        x: The summaries, as in :func:`fit_linear_map`.
        y: The targets, likewise.
        weights: The weight of each sample.
        classes: The number of classes or tags; 0 for quantities.
    """

    def __init__(self, x: Array, y: Array, weights: Array, *, classes: int) -> None:
        self.turned, _ = _turned(x, classes)
        self.y, self.weights, self.classes = y, weights, classes

    def answers(self, held: Array, penalties: Sequence[float]) -> Iterator[Array]:
        """Yield, for each penalty, the answers [held samples, outputs] by maps of the others.

        Args:
            held: A mask of the samples that are held out, bool [n].
            penalties: The penalties, from strong to weak; what is not needed is not fitted.
        """
        kept = ~held
        fits = _fits(
            self.turned[kept], self.y[kept], self.weights[kept], penalties, self.classes, _TRIAL
        )
        for fitted in fits:
            yield fitted.answers(self.turned[held])


def _turned(x: Array, classes: int) -> tuple[Array, Array]:
    """Return samples on axes that span them, [n, r], and the axes, [r, summaries].

    r is at most the smaller of n and the number of summaries. The penalty would shrink weights
    across the span of the samples to 0, so none are lost; and it is the same on any orthogonal
    axes. The axes are the principal ones, of which logistic regressions, which pass over the
    samples hundreds of times, get the first few hundred where there are many.
    """
    exact = x.astype(np.float64)
    size = min(x.shape)
    gram = exact @ exact.T if len(x) <= x.shape[1] else exact.T @ exact
    most = max(_LEAST_AXES, _MOST_NUMBERS // (len(x) * classes)) if classes else size
    values, vectors = linalg.eigh(gram, subset_by_index=[max(0, size - most), size - 1])
    vectors = vectors[:, values > _SPANNED * values[-1]]
    axes, _ = np.linalg.qr(exact.T @ vectors if len(x) <= x.shape[1] else vectors)
    return exact @ axes, axes.T


def _fits(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], classes: int, effort: _Effort
) -> Iterator[LinearMap]:
    """Yield a map for every penalty; as penalties fall, each fit starts near its end."""
    if classes:
        logistic = _logistic if y.ndim == 1 else _logistic_of_tags
        yield from logistic(x, y, weights, penalties, classes, effort)
        return
    outputs = y.shape[1]
    for penalty in penalties:
        ridge = Ridge(alpha=penalty).fit(x, y, sample_weight=weights)
        bias = np.broadcast_to(ridge.intercept_, outputs).copy()
        yield LinearMap(ridge.coef_.reshape(outputs, -1), bias)


def _logistic(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], classes: int, effort: _Effort
) -> Iterator[LinearMap]:
    known = np.unique(y)
    model = LogisticRegression(max_iter=effort.iterations, tol=effort.tolerance, warm_start=True)
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


def _logistic_of_tags(
    x: Array, y: Array, weights: Array, penalties: Sequence[float], tags: int, effort: _Effort
) -> Iterator[LinearMap]:
    """Yield maps of a logistic regression for each tag by itself."""
    models = [
        LogisticRegression(max_iter=effort.iterations, tol=effort.tolerance, warm_start=True)
        for _ in range(tags)
    ]
    for penalty in penalties:
        weight, bias = np.zeros((tags, x.shape[1])), np.zeros(tags)
        for tag, model in enumerate(models):
            applies = int(y[:, tag].sum())
            if applies in (0, len(y)):
                # Nothing tells inputs with it from those without; half an input more of each.
                bias[tag] = np.log((applies + 0.5) / (len(y) - applies + 0.5))
                continue
            with warnings.catch_warnings():
                # Validation decides about fits that have not converged.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=1.0 / penalty).fit(x, y[:, tag], sample_weight=weights)
            weight[tag], bias[tag] = model.coef_[0], model.intercept_[0]
        yield LinearMap(weight, bias)
