from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.data import Split
from omnivec2.training.evaluation.predictions import read_answers
from tests.support.training import tiny_tasks


def test_forecasts_are_measured_in_standard_deviations_of_their_series():
    split = Split([{}, {}], [np.zeros(2), np.zeros(2)], scales=np.array([1.0, 10.0]))
    outputs = {"mean": np.array([[1.0, 1.0], [10.0, 10.0]])}
    assert read_answers(tiny_tasks.forecasting(2), outputs, split, [0, 1]).measure("mse") == 1.0


def test_masks_are_compared_at_the_size_of_their_references():
    reference = np.zeros((8, 8), dtype=np.uint8)
    reference[:, 4:] = 1
    logits = np.zeros((1, 2, 2, 2), dtype=np.float32)
    logits[0, 0, :, 0] = logits[0, 1, :, 1] = 5
    split = Split([{}], [reference], references=[reference])
    found = read_answers(tiny_tasks.segmentation(), {"logits": logits}, split, [0])
    assert found.measure("miou") == 1.0


def test_where_samples_are_pixels_segmentation_is_measured_per_sample():
    split = Split([{}, {}], [0, 1])
    outputs = {"logits": np.array([[1.0, 0.0], [1.0, 0.0]])}
    assert (
        read_answers(tiny_tasks.segmentation(), outputs, split, [0, 1]).measure("accuracy") == 0.5
    )


def test_queries_without_an_object_score_low_and_duplicates_are_dropped():
    box = [0.5, 0.5, 0.2, 0.2]
    logits = np.array([[[9.0, 0.0], [8.0, 0.0], [0.0, 9.0]]])
    boxes = np.array([[box, box, [0.1, 0.1, 0.1, 0.1]]])
    real = {"boxes": np.array([box]), "labels": np.array([0])}
    found = read_answers(
        tiny_tasks.detection(), {"logits": logits, "boxes": boxes}, Split([{}], [real]), [0]
    )
    assert found.predicted[0]["scores"] == pytest.approx([1.0, 0.0], abs=1e-3)
    assert found.measure("ap50") == 1.0
