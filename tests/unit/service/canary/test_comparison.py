from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from omnivec2.spec import TaskFamily
from service.canary.comparison import compare_answers
from tests.support.model_repositories.tiny_models import classification, head_spec

LETTERS = classification("imu/activity", "a", "b")
MULTI = LETTERS.model_copy(update={"thresholds": (0.5, 0.5)})


def scores(**by_label: float) -> list[dict[str, object]]:
    return [{"label": label, "score": score} for label, score in by_label.items()]


def compare(family: TaskFamily, old: object, new: object) -> Any:
    spec = LETTERS.model_copy(update={"family": family})
    (found,) = compare_answers(spec, 0.1, old, new)
    return found.differs, pytest.approx(found.distance)


def test_classes_differ_by_the_best_label_and_are_as_far_as_the_scores() -> None:
    (same,) = compare_answers(LETTERS, 0.1, scores(a=0.9, b=0.1), scores(a=0.6, b=0.4))
    assert not same.differs
    assert same.distance == pytest.approx(0.3)
    (other,) = compare_answers(LETTERS, 0.1, scores(a=0.6, b=0.4), scores(b=0.6, a=0.4))
    assert (other.differs, other.labels) == (True, ("a", "b"))
    (apart,) = compare_answers(LETTERS, 0.1, scores(a=0.9), scores(b=0.9))
    assert apart.distance == 1.0


def test_every_row_and_every_input_is_compared() -> None:
    old, new = [scores(a=1.0), scores(b=1.0)], [scores(a=1.0), scores(a=1.0)]
    assert [each.differs for each in compare_answers(LETTERS, 0.1, old, new)] == [False, True]
    table = compare_answers(LETTERS, 0.1, ["a", "b", "b"], ["a", "a", "b"])
    assert [each.differs for each in table] == [False, True, False]
    assert compare_answers(LETTERS, 0.1, ["a"], ["a", "b"])[0].differs


def test_any_number_of_labels_differs_by_their_set() -> None:
    (found,) = compare_answers(MULTI, 0.1, scores(a=0.9), scores(a=0.8, b=0.7))
    assert found.differs
    (found,) = compare_answers(MULTI, 0.1, scores(a=0.9, b=0.8), scores(b=0.9, a=0.8))
    assert not found.differs
    assert not compare_answers(MULTI, 0.1, [], [])[0].differs


def test_numbers_differ_by_more_than_the_tolerance() -> None:
    spec = head_spec("imu/activity", TaskFamily.REGRESSION, {"values": (2,)})
    old = [{"label": "x", "value": 10.0, "unit": "m"}, {"label": "y", "value": -10.0, "unit": "m"}]
    near = [{**old[0], "value": 10.5}, old[1]]
    far = [{**old[0], "value": 30.0}, old[1]]
    assert not compare_answers(spec, 0.1, old, near)[0].differs
    assert compare_answers(spec, 0.1, old, far)[0].distance == 1.0
    assert compare_answers(spec, 0.1, old, old[:1])[0].differs
    assert compare_answers(spec, 0.1, [0.0], [1.0])[0].distance == 1.0
    assert compare_answers(spec, 0.1, [1.0, None], [1.0, None])[0].distance == 0.0


def test_vectors_differ_by_their_angle() -> None:
    assert compare(TaskFamily.EMBEDDING, [[1.0, 0.0]], [[2.0, 0.0]]) == (False, 0.0)
    assert compare(TaskFamily.EMBEDDING, [[1.0, 0.0]], [[0.0, 1.0]]) == (True, 1.0)
    assert compare(TaskFamily.EMBEDDING, [[0.0, 0.0]], [[0.0, 1.0]]) == (True, 1.0)


def test_texts_differ_by_their_words() -> None:
    old, new = [{"summary_text": "a cat sat"}], [{"summary_text": "a cat sits"}]
    assert compare(TaskFamily.SUMMARIZATION, old, new) == (True, 1 / 3)
    assert compare(TaskFamily.SUMMARIZATION, old, old) == (False, 0.0)
    assert compare(TaskFamily.SUMMARIZATION, [{"summary_text": ""}], []) == (False, 0.0)


def box(label: str, left: int, right: int) -> dict[str, object]:
    edges = {"xmin": left, "ymin": 0, "xmax": right, "ymax": 10}
    return {"label": label, "score": 0.9, "box": edges}


def test_objects_need_a_counterpart_of_their_label_at_their_place() -> None:
    old = [box("car", 0, 10), box("bus", 20, 30)]
    assert compare(TaskFamily.DETECTION, old, [box("bus", 21, 31), box("car", 0, 9)])[0] is False
    assert compare(TaskFamily.DETECTION, old, [box("bus", 0, 10)]) == (True, 1.0)
    assert compare(TaskFamily.DETECTION, old, old[:1]) == (True, 1 / 3)
    assert compare(TaskFamily.DETECTION, [], []) == (False, 0.0)


def mask(label: str, columns: int) -> dict[str, object]:
    picture = Image.new("L", (16, 2))
    picture.paste(255, (0, 0, columns, 2))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return {"label": label, "score": 1.0, "mask": base64.b64encode(stream.getvalue()).decode()}


def test_masks_differ_by_their_pixels_and_points_by_their_labels() -> None:
    family = TaskFamily.SEGMENTATION
    assert compare(family, [mask("sky", 8)], [mask("sky", 8)]) == (False, 0.0)
    assert compare(family, [mask("sky", 8)], [mask("sky", 4)]) == (True, 0.5)
    assert compare(family, [[mask("sky", 8)]], [[mask("sea", 8)]]) == (True, 1.0)
    names = {"names": ["a", "b"]}
    assert compare(family, {"labels": [0, 1], **names}, {"labels": [0, 0], **names}) == (True, 0.5)
    assert compare(family, {"labels": [0, 1], **names}, {"labels": [0], **names}) == (True, 1.0)
