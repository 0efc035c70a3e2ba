from __future__ import annotations

import base64
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess.resize import class_map
from omnivec2.spec import Modality, TaskFamily

LABELS = ("sky", "road", "tree")
FAMILY = TaskFamily.SEGMENTATION


def mask_of(segment) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(segment["mask"])))
    assert image.format == "PNG"
    assert image.mode == "L"
    return np.asarray(image)


def halves(top: float = 9.0) -> dict[str, np.ndarray]:
    logits = np.zeros((1, 3, 4, 4), dtype=np.float32)
    logits[0, 0, :2] = top
    logits[0, 1, 2:] = 9.0
    return {"logits": logits}


def test_masks_have_the_size_of_the_input_and_cover_it_once(head, answer):
    result = answer(head(FAMILY, labels=LABELS), halves(), {"size": (30, 20)})
    assert [segment["label"] for segment in result] == ["sky", "road"]
    masks = [mask_of(segment) for segment in result]
    assert all(mask.shape == (20, 30) for mask in masks)
    assert (sum(mask.astype(int) for mask in masks) == 255).all()
    assert (masks[0][:10] == 255).all()


def test_the_score_is_the_mean_probability_inside_the_mask(head, answer):
    logits = np.zeros((1, 3, 2, 2))
    logits[0, 2] = np.log(4.0)
    (segment,) = answer(head(FAMILY, labels=LABELS), {"logits": logits}, {"size": (5, 5)})
    assert segment["score"] == pytest.approx(4 / 6)


def test_thresholds_drop_weak_segments_and_weak_pixels(head, answer):
    spec, context = head(FAMILY, labels=LABELS), {"size": (8, 8)}
    weak = halves(top=0.5)
    assert [s["label"] for s in answer(spec, weak, context, threshold=0.8)] == ["road"]
    sure = answer(spec, weak, context, mask_threshold=0.999)
    assert [s["label"] for s in sure] == ["road"]
    assert all(np.count_nonzero(mask_of(s)) < 32 for s in sure)


def test_parameters_of_other_subtasks_are_refused_or_without_effect(head, answer):
    spec, context = head(FAMILY, labels=LABELS), {"size": (8, 8)}
    plain = answer(spec, halves(), context)
    both = {"subtask": "semantic", "overlap_mask_area_threshold": 0.5}
    assert answer(spec, halves(), context, **both) == plain
    with pytest.raises(ValidationError):
        answer(spec, halves(), context, subtask="panoptic")


def test_pixels_of_a_cube_become_masks_of_its_grid(head, answer):
    logits = np.full((6, 3), -9.0)
    logits[[0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 1, 1]] = 9.0
    spec = head(FAMILY, Modality.HYPERSPECTRAL, labels=LABELS)
    first, second = answer(spec, {"logits": logits}, {"grid": (2, 3)})
    assert mask_of(first).tolist() == [[255, 255, 0], [255, 0, 0]]
    assert second["label"] == "road"
    with pytest.raises(ModelNotReadyError):
        answer(spec, {"logits": logits[:5]}, {"grid": (2, 3)})


def test_pixels_that_hold_no_data_belong_to_no_class(head, answer):
    logits = np.full((6, 3), -9.0)
    logits[[0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 1, 1]] = 9.0
    spec = head(FAMILY, Modality.HYPERSPECTRAL, labels=LABELS)
    measured = np.array([[False, True, False], [True, False, False]])
    (only,) = answer(spec, {"logits": logits}, {"grid": (2, 3), "measured": measured})
    assert mask_of(only).tolist() == [[0, 255, 0], [255, 0, 0]]


def test_points_take_the_class_of_their_group(head, answer):
    logits = np.array([[[9.0, 0, 0], [0, 0, 9.0]]])
    spec = head(FAMILY, Modality.POINTCLOUD, labels=LABELS)
    context = {"assignment": np.array([1, 0, -1, 1], dtype=np.int32)}
    assert answer(spec, {"logits": logits}, context) == {
        "labels": [2, 0, None, 2],
        "names": ["sky", "road", "tree"],
    }


@pytest.mark.parametrize("size", [(30, 20), (7, 5), (4, 3), (2, 2), (1, 1)])
def test_resizing_agrees_with_pillow_where_it_enlarges(size):
    logits = np.random.default_rng(0).normal(size=(3, 3, 4)).astype(np.float32)
    classes, best = class_map(logits, size)
    assert classes.shape == best.shape == size[::-1]
    if size[0] < 4:
        return
    layers = [
        np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BILINEAR))
        for layer in logits
    ]
    expected = np.stack(layers)
    sums = np.exp(expected - expected.max(axis=0)).sum(axis=0)
    assert np.allclose(best, 1 / sums, atol=1e-5)
    assert (classes == expected.argmax(axis=0)).mean() > 0.999


def test_strips_meet_without_a_seam(monkeypatch):
    logits = np.random.default_rng(0).normal(size=(3, 6, 8))
    whole = class_map(logits, (64, 48))
    monkeypatch.setattr("omnivec2.postprocess.resize._STRIP_VALUES", 1000)
    strips = class_map(logits, (64, 48))
    assert all(np.array_equal(a, b) for a, b in zip(whole, strips, strict=True))


def test_a_large_picture_needs_memory_for_its_pixels_not_for_its_classes():
    logits = np.zeros((60, 24, 32))
    tracemalloc.start()
    class_map(logits, (800, 600))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * 2**20
