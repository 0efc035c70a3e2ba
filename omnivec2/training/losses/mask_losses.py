"""Losses of segmentation: of pictures, pixel by pixel, and of clouds, point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.training.data.base import PointLabels
from omnivec2.training.losses.base import IGNORE, LossScale, Outputs
from omnivec2.training.losses.class_losses import classification_loss


def segmentation_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute cross-entropy plus Dice on masks; cross-entropy alone where a sample is a pixel."""
    if outputs["logits"].ndim == 2:
        return classification_loss(outputs, targets, scale)
    logits, masks = _logits_and_masks(outputs, targets)
    entropy = F.cross_entropy(logits, masks, ignore_index=IGNORE)
    counted, one_hot = _one_hot(masks, logits.shape[1])
    one_hot = one_hot * counted
    share = logits.softmax(dim=1) * counted
    axes = (0, 2, 3)
    dice = 1 - (2 * (share * one_hot).sum(axes) + 1) / (share.sum(axes) + one_hot.sum(axes) + 1)
    return entropy + 0.5 * dice.mean()


def one_hot_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the paper's l2 between probabilities and one-hot masks, pixel by pixel."""
    if outputs["logits"].ndim == 2:
        return classification_loss(outputs, targets, scale)
    logits, masks = _logits_and_masks(outputs, targets)
    counted, one_hot = _one_hot(masks, logits.shape[1])
    error = (logits.softmax(dim=1) - one_hot).square().sum(dim=1, keepdim=True)
    return (error * counted).sum() / counted.sum().clamp(min=1)


def _logits_and_masks(outputs: Outputs, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Return the logits, resized to the masks, (B, classes, h, w), and the masks (B, h, w)."""
    logits = outputs["logits"].float()
    masks = torch.as_tensor(np.stack(targets), dtype=torch.long, device=logits.device)
    resized = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    return resized, masks


def _one_hot(masks: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return which pixels count, (B, 1, h, w), and one-hot masks (B, classes, h, w)."""
    counted = (masks != IGNORE)[:, None]
    return counted, F.one_hot(masks.clamp(max=classes - 1), classes).movedim(-1, 1)


def point_loss(outputs: Outputs, targets: Sequence[PointLabels], scale: LossScale) -> Tensor:
    """Compute the cross-entropy of every point, which has the answer of its group.

    Args:
        outputs: The head's ``logits`` (B, groups, classes).
        targets: The classes of the points and the groups they are in.
        scale: An argument of all losses, not used here.
    """
    del scale
    log_shares = outputs["logits"].float().log_softmax(dim=-1)
    groups, classes = log_shares.shape[1:]
    counts = np.stack([target.counts(groups, classes) for target in targets])
    points = torch.as_tensor(counts, device=log_shares.device)
    return -(points * log_shares).sum() / points.sum().clamp(min=1)
