"""The losses, one per task family; every loss is a mean over samples, in float32."""

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
"""The mask value of pixels that no loss counts."""
NO_OBJECT_WEIGHT = 0.1
"""The weight of the "no object" class, as in DETR (Carion et al., 2020)."""
SMOOTHING = 0.05
"""The label smoothing of classes, and of the words of a text."""
L1_WEIGHT, GIOU_WEIGHT = 5.0, 2.0
"""The weights of the two losses on boxes, as in DETR."""


class LossScale:
    """The standard deviations that errors in real units are divided by."""

    def __init__(self, scale: Tensor | None = None) -> None:
        self.scale = scale


def classification_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute cross-entropy with label smoothing; targets are class indices."""
    del scale
    logits = outputs["logits"].float()
    labels = torch.as_tensor(np.asarray(targets), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def regression_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the mean squared error in units of the training targets' deviation."""
    return _scaled_squared_error(outputs["values"], targets, scale)


def forecasting_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the mean squared error; ``scale`` holds each sample's own deviation, (B, 1)."""
    return _scaled_squared_error(outputs["mean"], targets, scale)


def _scaled_squared_error(predicted: Tensor, targets: Sequence[Any], scale: LossScale) -> Tensor:
    real = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=predicted.device)
    error = predicted.float() - real
    return (error if scale.scale is None else error / scale.scale.to(error)).square().mean()


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


def detection_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute DETR's set loss: one query is matched per object, the rest are "no object"."""
    del scale
    logits, boxes = outputs["logits"].float(), outputs["boxes"].float()
    classes = logits.shape[-1]
    device = logits.device
    query_labels = torch.full(logits.shape[:2], classes - 1, dtype=torch.long, device=device)
    matched_boxes, real_boxes = [], []
    for index, target in enumerate(targets):
        real = torch.as_tensor(target["boxes"], device=device)
        labels = torch.as_tensor(target["labels"], device=device)
        if len(labels) == 0:
            continue
        rows, columns = match_queries(logits[index], boxes[index], labels, real)
        query_labels[index, rows] = labels[columns]
        matched_boxes.append(boxes[index, rows])
        real_boxes.append(real[columns])
    weight = torch.ones(classes, device=device)
    weight[-1] = NO_OBJECT_WEIGHT
    loss = F.cross_entropy(logits.flatten(0, 1), query_labels.flatten(), weight=weight)
    if not matched_boxes:
        return loss
    predicted, truth = torch.cat(matched_boxes), torch.cat(real_boxes)
    giou = generalised_iou(corners(predicted), corners(truth)).diagonal()
    return loss + L1_WEIGHT * F.l1_loss(predicted, truth) + GIOU_WEIGHT * (1 - giou).mean()


def summarization_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the cross-entropy of each target word, written or copied, with label smoothing."""
    del targets, scale  # the head gets the target ids as inputs, and returns their likelihood
    log_probs, uniform = outputs[LOG_PROBS], outputs[UNIFORM]
    words = (uniform < 0).sum()
    total = (1 - SMOOTHING) * log_probs.sum() + SMOOTHING * uniform.sum()
    return -total / words


@torch.no_grad()
def match_queries(
    logits: Tensor, boxes: Tensor, labels: Tensor, real: Tensor
) -> tuple[Tensor, Tensor]:
    """Find the cheapest one-to-one assignment of queries to objects.

    Args:
        logits: The class logits of one picture, (Q, classes + 1).
        boxes: The predicted boxes, (Q, 4) cxcywh.
        labels: The classes of the real objects, (n,).
        real: The boxes of the real objects, (n, 4).

    Returns:
        The indices of queries and the indices of objects, both (min(Q, n),).
    """
    likelihood = logits.softmax(dim=-1)[:, labels]
    distance = torch.cdist(boxes, real, p=1)
    overlap = generalised_iou(corners(boxes), corners(real))
    cost = -likelihood + L1_WEIGHT * distance - GIOU_WEIGHT * overlap
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def corners(boxes: Tensor) -> Tensor:
    """Convert centre and size (cxcywh) to corners (x0 y0 x1 y1)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the GIoU of every pair of boxes given by corners: (n, 4), (m, 4) -> (n, m)."""
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


def losses_by_family(*, literal: bool = False) -> dict[TaskFamily, Loss]:
    """Return the losses by family, with the paper's l2 for pixels if ``literal``."""
    return {**LOSSES, TaskFamily.SEGMENTATION: one_hot_loss} if literal else LOSSES
