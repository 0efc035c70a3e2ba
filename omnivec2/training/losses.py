"""One loss per task family; every loss is a mean over samples, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from omnivec2.network.summarization import LOG_PROBS, UNIFORM
from omnivec2.spec import TaskFamily

Outputs = Mapping[str, Tensor]
Loss = Callable[[Outputs, Sequence[Any], "LossScale"], Tensor]

IGNORE = 255
NO_OBJECT_WEIGHT = 0.1
"""Down-weighting of the "no object" class, as in DETR (Carion et al., 2020)."""
SMOOTHING = 0.05
"""Share of a text's loss that asks for all words alike."""
L1_WEIGHT, GIOU_WEIGHT = 5.0, 2.0


class LossScale:
    """Standard deviations that targets in real units are divided by."""

    def __init__(self, scale: Tensor | None = None) -> None:
        self.scale = scale


def classification_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Cross-entropy with a little label smoothing; targets are class indices."""
    del scale
    logits = outputs["logits"].float()
    wanted = torch.as_tensor(np.asarray(targets), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, wanted, label_smoothing=0.05)


def regression_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Mean squared error in units of the training targets' deviation."""
    return _scaled_square_error(outputs["values"], targets, scale)


def forecasting_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Mean squared error; ``scale`` holds each sample's own deviation, (B, 1)."""
    return _scaled_square_error(outputs["mean"], targets, scale)


def _scaled_square_error(found: Tensor, targets: Sequence[Any], scale: LossScale) -> Tensor:
    wanted = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=found.device)
    error = found.float() - wanted
    return (error if scale.scale is None else error / scale.scale.to(error)).square().mean()


def segmentation_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Cross-entropy plus Dice on masks; plain cross-entropy where a sample is a pixel."""
    logits = outputs["logits"].float()
    if logits.ndim == 2:
        return classification_loss(outputs, targets, scale)
    masks = torch.as_tensor(np.stack(targets), dtype=torch.long, device=logits.device)
    logits = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    entropy = F.cross_entropy(logits, masks, ignore_index=IGNORE)
    real = (masks != IGNORE)[:, None]
    wanted = F.one_hot(masks.clamp(max=logits.shape[1] - 1), logits.shape[1]).movedim(-1, 1)
    wanted = wanted * real
    share = logits.softmax(dim=1) * real
    axes = (0, 2, 3)
    dice = 1 - (2 * (share * wanted).sum(axes) + 1) / (share.sum(axes) + wanted.sum(axes) + 1)
    return entropy + 0.5 * dice.mean()


def one_hot_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """The paper's: l2 between probabilities and one-hot masks, pixel by pixel."""
    logits = outputs["logits"].float()
    if logits.ndim == 2:
        return classification_loss(outputs, targets, scale)
    masks = torch.as_tensor(np.stack(targets), dtype=torch.long, device=logits.device)
    logits = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    real = (masks != IGNORE)[:, None]
    wanted = F.one_hot(masks.clamp(max=logits.shape[1] - 1), logits.shape[1]).movedim(-1, 1)
    error = (logits.softmax(dim=1) - wanted).square().sum(dim=1, keepdim=True)
    return (error * real).sum() / real.sum().clamp(min=1)


def detection_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Set matching as in DETR: one query per object, the rest are "no object"."""
    del scale
    logits, boxes = outputs["logits"].float(), outputs["boxes"].float()
    classes = logits.shape[-1]
    device = logits.device
    wanted = torch.full(logits.shape[:2], classes - 1, dtype=torch.long, device=device)
    matched_boxes, real_boxes = [], []
    for index, target in enumerate(targets):
        real = torch.as_tensor(target["boxes"], device=device)
        labels = torch.as_tensor(target["labels"], device=device)
        if len(labels) == 0:
            continue
        rows, columns = match(logits[index], boxes[index], labels, real)
        wanted[index, rows] = labels[columns]
        matched_boxes.append(boxes[index, rows])
        real_boxes.append(real[columns])
    weight = torch.ones(classes, device=device)
    weight[-1] = NO_OBJECT_WEIGHT
    loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight=weight)
    if not matched_boxes:
        return loss
    found, truth = torch.cat(matched_boxes), torch.cat(real_boxes)
    giou = generalised_iou(corners(found), corners(truth)).diagonal()
    return loss + L1_WEIGHT * F.l1_loss(found, truth) + GIOU_WEIGHT * (1 - giou).mean()


def summarization_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Cross-entropy of each wanted word, written or copied, with a little label smoothing."""
    del targets, scale  # the head was given the target ids, and says how likely they are
    log_probs, uniform = outputs[LOG_PROBS], outputs[UNIFORM]
    words = (uniform < 0).sum()
    total = (1 - SMOOTHING) * log_probs.sum() + SMOOTHING * uniform.sum()
    return -total / words


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, labels: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest one-to-one assignment of queries to objects.

    Args:
        logits: (Q, classes + 1) of one picture.
        boxes: (Q, 4) cxcywh.
        labels: (n,) classes of the real objects.
        real: (n, 4) their boxes.

    Returns:
        indices of queries, indices of objects, both (min(Q, n),).
    """
    likelihood = logits.softmax(dim=-1)[:, labels]
    distance = torch.cdist(boxes, real, p=1)
    overlap = generalised_iou(corners(boxes), corners(real))
    cost = -likelihood + L1_WEIGHT * distance - GIOU_WEIGHT * overlap
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def corners(boxes: Tensor) -> Tensor:
    """Centre and size (cxcywh) -> corners (x0 y0 x1 y1)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of every pair of boxes given by corners: (n, 4), (m, 4) -> (n, m)."""
    inner = torch.min(a[:, None, 2:], b[None, :, 2:]) - torch.max(a[:, None, :2], b[None, :, :2])
    intersection = inner.clamp(min=0).prod(dim=-1)
    outer = torch.max(a[:, None, 2:], b[None, :, 2:]) - torch.min(a[:, None, :2], b[None, :, :2])
    hull = outer.prod(dim=-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    union = area_a[:, None] + area_b[None, :] - intersection
    return intersection / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


LOSSES: dict[TaskFamily, Loss] = {
    TaskFamily.CLASSIFICATION: classification_loss,
    TaskFamily.REGRESSION: regression_loss,
    TaskFamily.FORECASTING: forecasting_loss,
    TaskFamily.SEGMENTATION: segmentation_loss,
    TaskFamily.DETECTION: detection_loss,
    TaskFamily.SUMMARIZATION: summarization_loss,
}


def losses_of(*, literal: bool = False) -> dict[TaskFamily, Loss]:
    """Loss by family; ``literal``: the paper's l2 for pixel-wise prediction."""
    return {**LOSSES, TaskFamily.SEGMENTATION: one_hot_loss} if literal else LOSSES
