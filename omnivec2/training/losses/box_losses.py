"""The loss of detection: DETR's, with one query matched to every object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.training.losses.base import LossScale, Outputs

NO_OBJECT_WEIGHT = 0.1
"""The weight of the "no object" class, as in DETR (Carion et al., 2020)."""
L1_WEIGHT, GIOU_WEIGHT = 5.0, 2.0
"""The weights of the two losses on boxes, as in DETR."""


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
    from scipy.optimize import linear_sum_assignment  # takes a second, and only boxes need it

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
