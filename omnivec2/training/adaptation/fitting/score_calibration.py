"""Calibrated scores: a temperature that is fitted to answers on inputs not fitted to.

A head is right more often, or less often, than its probabilities say. Logits divided by one number
mend most of that and change no answer (Guo et al., 2017). The number is divided into the last
layer, so that every engine and client has it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.answer_forms import losses_of

_COLDEST, _HOTTEST = 0.1, 10.0

_PRIOR_DEVIATION = 0.5
"""The deviation of the logarithm of temperatures that are plausible before any answer is seen: few
inputs that are all answered well do not make a head certain."""


def fit_temperature(answers: Array, labels: Array, by_item: Callable[[Array], Array]) -> float:
    """Return the number to divide logits by, so that probabilities are as often right as they say.

    Args:
        answers: The logits of samples that were not fitted to, [samples, outputs]; NaN for others.
        labels: The classes or tags of the items.
        by_item: A function from logits of samples to probabilities of items, as they are served.
    """
    unit = np.ones(1)

    def cost(log_temperature: float) -> float:
        losses = losses_of(by_item(answers / np.exp(log_temperature)), labels, unit)
        prior = (log_temperature / _PRIOR_DEVIATION) ** 2 / 2
        return float(np.nansum(losses)) + prior

    bounds = (np.log(_COLDEST), np.log(_HOTTEST))
    found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


@torch.no_grad()
def set_temperature(head: FullyConnectedHead, temperature: float) -> None:
    """Divide a head's logits by a temperature, in the weights of its last layer."""
    head.second.weight.div_(temperature)
    head.second.bias.div_(temperature)
