from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import ModelNotReadyError
from omnivec2.spec import TaskFamily

LABELS = ("cell", "platelet")
CONTEXT = {"size": (200, 100)}


@pytest.fixture
def spec(head):
    return head(TaskFamily.DETECTION, labels=LABELS)


def outputs(*queries):
    logits = [query[:3] for query in queries]
    boxes = [query[3:] for query in queries]
    return {"logits": np.array([logits]), "boxes": np.array([boxes], dtype=np.float32)}


def test_boxes_are_whole_pixels_of_the_input_best_first(spec, answer):
    found = answer(
        spec,
        outputs((2, 0, 0, 0.5, 0.5, 0.5, 0.5), (0, 9, 0, 0.25, 0.5, 0.1, 0.2)),
        CONTEXT,
    )
    assert [entry["label"] for entry in found] == ["platelet", "cell"]
    assert found[1]["box"] == {"xmin": 50, "ymin": 25, "xmax": 150, "ymax": 75}
    assert found[0]["box"] == {"xmin": 40, "ymin": 40, "xmax": 60, "ymax": 60}
    assert found[0]["score"] > found[1]["score"] > 0.5


def test_no_object_takes_its_share_of_the_probability(spec, answer):
    found = answer(spec, outputs((0, 0, 0, 0.5, 0.5, 0.5, 0.5)), CONTEXT, threshold=0.0)
    assert found[0]["score"] == pytest.approx(1 / 3)


def test_the_threshold_is_one_half_unless_given(spec, answer):
    weak = outputs((0, 0, 0, 0.5, 0.5, 0.5, 0.5))
    assert answer(spec, weak, CONTEXT) == []
    assert len(answer(spec, weak, CONTEXT, threshold=0.3)) == 1
    assert answer(spec, weak, CONTEXT, threshold=0.4) == []
    with pytest.raises(ValidationError):
        answer(spec, weak, CONTEXT, threshold=1.1)


def test_boxes_are_clipped_to_the_picture(spec, answer):
    found = answer(spec, outputs((9, 0, 0, 0.0, 1.0, 1.0, 1.0)), CONTEXT)
    assert found[0]["box"] == {"xmin": 0, "ymin": 50, "xmax": 100, "ymax": 100}


def test_boxes_without_a_pixel_are_left_out(spec, answer):
    assert answer(spec, outputs((9, 0, 0, 0.5, 0.5, 0.001, 0.5)), CONTEXT) == []


def test_two_boxes_in_one_place_are_both_answered(spec, answer):
    query = (9, 0, 0, 0.5, 0.5, 0.5, 0.5)
    assert len(answer(spec, outputs(query, query), CONTEXT)) == 2


def test_boxes_that_do_not_match_the_queries_are_the_models_fault(spec, answer):
    broken = outputs((9, 0, 0, 0.5, 0.5, 0.5, 0.5))
    broken["boxes"] = np.zeros((1, 2, 4))
    with pytest.raises(ModelNotReadyError):
        answer(spec, broken, CONTEXT)
