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

_ITERATIONS = 200
_ABSENT = -30.0
"""Logit of a class that no labelled input has."""

PENALTIES = {"classes": (1e4, 1e3, 1e2, 1e1, 1.0), "quantities": (0.1, 1.0, 10.0, 1e2, 1e3)}
"""Of the squares of the weights, on summaries in standard units."""


@dataclass(frozen=True)
class Straight:
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


def fit_straight(x: Array, y: Array, weights: Array, penalty: float, *, classes: int) -> Straight:
    """Logistic or ridge regression.

    Args:
        x: [n, summaries] in standard units.
        y: classes [n], or quantities in standard units [n, outputs].
        weights: how much each sample counts.
        penalty: of the weights' squares.
        classes: how many; 0 for quantities.
    """
    if not classes:
        ridge = Ridge(alpha=penalty).fit(x, y, sample_weight=weights)
        outputs = y.shape[1]
        return Straight(
            ridge.coef_.reshape(outputs, -1), np.broadcast_to(ridge.intercept_, outputs).copy()
        )
    known = np.unique(y)
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, _ABSENT)
    bias[known] = 0.0
    if len(known) > 1:
        model = LogisticRegression(C=1.0 / penalty, max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # Validation has the last word on what has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y, sample_weight=weights)
        if len(known) == 2:  # scikit-learn keeps the second's logit alone
            weight[known[1]], bias[known[1]] = model.coef_[0], model.intercept_[0]
        else:
            weight[known], bias[known] = model.coef_, model.intercept_
    return Straight(weight, bias)


def validated(
    x: Array, y: Array, weights: Array, folds: Sequence[Array], *, classes: int
) -> Iterator[tuple[float, Array]]:
    """Every penalty with its answers [n, outputs] by maps that were not fitted to the sample.

    Args:
        x: as in :func:`fit_straight`.
        y: likewise.
        weights: likewise.
        folds: bool [n] each, the samples that are held out.
        classes: likewise.
    """
    outputs = classes or y.shape[1]
    for penalty in PENALTIES["classes" if classes else "quantities"]:
        answers = np.full((len(x), outputs), np.nan)
        for held in folds:
            kept = ~held
            fitted = fit_straight(x[kept], y[kept], weights[kept], penalty, classes=classes)
            answers[held] = fitted.answers(x[held])
        yield penalty, answers
