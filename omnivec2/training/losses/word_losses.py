"""The loss of text that is written word by word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from omnivec2.network.summarization import LOG_PROBS, UNIFORM
from omnivec2.training.losses.base import SMOOTHING, LossScale, Outputs


def summarization_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the cross-entropy of each target word, written or copied, with label smoothing."""
    del targets, scale  # the head gets the target ids as inputs, and returns their likelihood
    log_probs, uniform = outputs[LOG_PROBS], outputs[UNIFORM]
    words = (uniform < 0).sum()
    total = (1 - SMOOTHING) * log_probs.sum() + SMOOTHING * uniform.sum()
    return -total / words
