"""Losses of classes: one per sample, any number of them, and what is not normal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.training.losses.base import SMOOTHING, LossScale, Outputs


def classification_loss(
    outputs: Outputs, targets: Sequence[Any], scale: LossScale, *, weights: Sequence[float] = ()
) -> Tensor:
    """Compute cross-entropy with label smoothing.

    Args:
        outputs: The head's ``logits`` (B, classes).
        targets: The class indices.
        scale: An argument of all losses, not used here.
        weights: The weight of a sample of each class; all are the same if empty.
    """
    del scale
    logits = outputs["logits"].float()
    labels = torch.as_tensor(np.asarray(targets), dtype=torch.long, device=logits.device)
    weight = torch.as_tensor(weights, device=logits.device) if weights else None
    return F.cross_entropy(logits, labels, weight=weight, label_smoothing=SMOOTHING)


def multi_label_loss(
    outputs: Outputs, targets: Sequence[Any], scale: LossScale, *, weights: Sequence[float] = ()
) -> Tensor:
    """Compute the binary cross-entropy of every label.

    Args:
        outputs: The head's ``logits`` (B, labels).
        targets: The labels as zeros and ones, each [labels].
        scale: An argument of all losses, not used here.
        weights: The weight of each label where it applies, for rare ones; 1 if empty.
    """
    del scale
    logits = outputs["logits"].float()
    applies = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=logits.device)
    weight = torch.as_tensor(weights, device=logits.device) if weights else None
    return F.binary_cross_entropy_with_logits(logits, applies, pos_weight=weight)


def anomaly_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the mean error of rebuilding normal samples; others cost nothing.

    Args:
        outputs: The head's ``logits`` (B, 1), the logarithm of the error of each sample.
        targets: An array for each sample, [1]: 1 where it is not normal, else 0.
        scale: An argument of all losses, not used here.
    """
    del scale
    errors = outputs["logits"].float().exp()
    anomalous = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=errors.device)
    normal = 1 - anomalous
    return (errors * normal).sum() / normal.sum().clamp(min=1)
