"""Losses: which answers cost less, and how objects are matched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnivec2.training.losses import LossScale
from omnivec2.training.losses.box_losses import (
    corners,
    detection_loss,
    generalised_iou,
    match_queries,
)
from omnivec2.training.losses.class_losses import classification_loss
from omnivec2.training.losses.mask_losses import one_hot_loss, segmentation_loss
from omnivec2.training.losses.value_losses import forecasting_loss, regression_loss


def test_right_classes_cost_less_than_wrong_ones():
    logits = torch.tensor([[5.0, -5.0], [-5.0, 5.0]])
    loss = classification_loss
    right = loss({"logits": logits}, [0, 1], LossScale())
    wrong = loss({"logits": logits}, [1, 0], LossScale())
    assert right < 0.5 < wrong


def test_regression_errors_are_counted_in_deviations_of_the_targets():
    outputs = {"values": torch.tensor([[10.0], [20.0]])}
    targets = [np.array([0.0], np.float32), np.array([30.0], np.float32)]
    loss = regression_loss(outputs, targets, LossScale(torch.tensor([10.0])))
    assert loss.item() == pytest.approx(1.0)


def test_forecasts_of_two_series_count_equally_whatever_their_units():
    outputs = {"mean": torch.tensor([[1.0, 1.0], [100.0, 100.0]])}
    targets = [np.zeros(2, np.float32), np.zeros(2, np.float32)]
    scale = LossScale(torch.tensor([[1.0], [100.0]]))
    assert forecasting_loss(outputs, targets, scale).item() == pytest.approx(1.0)


def test_ignored_pixels_of_a_mask_cost_nothing():
    mask = np.zeros((8, 8), dtype=np.uint8)
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0] = 8.0
    clean = segmentation_loss({"logits": logits}, [mask], LossScale())
    mask[:, 4:] = 255
    holed = segmentation_loss({"logits": logits}, [mask], LossScale())
    mask[:, 4:] = 1
    wrong = segmentation_loss({"logits": logits}, [mask], LossScale())
    assert holed.item() == pytest.approx(clean.item(), abs=0.02)
    assert wrong > clean + 1


@pytest.mark.parametrize("literal", [False, True])
def test_where_a_sample_is_a_pixel_its_class_is_learned_as_any_other(literal):
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    loss = one_hot_loss if literal else segmentation_loss
    expected = classification_loss({"logits": logits}, [0, 0], LossScale())
    assert torch.equal(loss({"logits": logits}, [0, 0], LossScale()), expected)


def test_objects_that_are_found_cost_less_than_objects_elsewhere():
    logits = torch.tensor([[[4.0, 0.0, 0.0], [0.0, 0.0, 4.0]]])
    target = {
        "boxes": np.array([[0.3, 0.3, 0.2, 0.2]], np.float32),
        "labels": np.array([0], np.int64),
    }
    loss = detection_loss

    def cost(*box: float) -> float:
        boxes = torch.tensor([[box, (0.5, 0.5, 0.1, 0.1)]])
        return float(loss({"logits": logits, "boxes": boxes}, [target], LossScale()))

    assert cost(0.3, 0.3, 0.2, 0.2) < cost(0.35, 0.3, 0.2, 0.2) < cost(0.8, 0.8, 0.2, 0.2)


def test_a_picture_without_objects_asks_every_query_for_no_object():
    empty = {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)}
    boxes = torch.rand(1, 2, 4)
    loss = detection_loss
    silent = torch.tensor([[[0.0, 9.0], [0.0, 9.0]]])
    assert loss({"logits": silent, "boxes": boxes}, [empty], LossScale()) < 0.01
    assert loss({"logits": -silent, "boxes": boxes}, [empty], LossScale()) > 5


def test_every_object_is_matched_with_the_query_at_its_place():
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1]])
    queries, objects = match_queries(torch.zeros(3, 2), boxes, torch.tensor([0, 0]), boxes[[1, 0]])
    assert dict(zip(objects.tolist(), queries.tolist(), strict=True)) == {0: 1, 1: 0}


def test_a_picture_without_objects_only_wants_no_object():
    empty = {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)}
    boxes = torch.full((1, 4, 4), 0.5, requires_grad=True)
    silent = torch.zeros(1, 4, 3)
    silent[..., -1] = 9.0
    loss = detection_loss({"logits": silent, "boxes": boxes}, [empty], LossScale())
    assert loss.item() < 0.01


def test_generalised_iou_is_one_for_equal_boxes_and_negative_far_apart():
    boxes = corners(torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]]))
    overlap = generalised_iou(boxes, boxes)
    assert overlap.diagonal().tolist() == pytest.approx([1.0, 1.0])
    assert overlap[0, 1] < -0.5


def test_the_papers_loss_for_masks_is_the_distance_from_one_hot():
    mask = np.zeros((4, 4), dtype=np.uint8)
    loss = one_hot_loss
    undecided = loss({"logits": torch.zeros(1, 2, 4, 4)}, [mask], LossScale())
    assert undecided.item() == pytest.approx(0.25 + 0.25)
    sure = torch.zeros(1, 2, 4, 4)
    sure[:, 0] = 20.0
    assert loss({"logits": sure}, [mask], LossScale()).item() == pytest.approx(0.0, abs=1e-6)
    mask[:, 2:] = 255
    wrong = torch.zeros(1, 2, 4, 4)
    wrong[:, 0, :, :2] = 20.0
    wrong[:, 1, :, 2:] = 20.0
    assert loss({"logits": wrong}, [mask], LossScale()).item() == pytest.approx(0.0, abs=1e-6)
