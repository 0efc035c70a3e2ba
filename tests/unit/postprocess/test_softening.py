from __future__ import annotations

import numpy as np
import pytest

from omnivec2.arrays import Array
from omnivec2.postprocess.classification import ClassificationParameters
from omnivec2.postprocess.numeric import sigmoid, softmax
from omnivec2.postprocess.softening import soften
from omnivec2.spec import TaskFamily
from tests.support.model_repositories.tiny_models import classification, head_spec

RNG = np.random.default_rng(0)
DEFAULT = ClassificationParameters()


def softened(logits: Array, ceilings: list[float], **fields: object) -> Array:
    labels = [f"label {index}" for index in range(logits.shape[1])]
    spec = classification("image/things", *labels, **fields)
    return np.asarray(soften({"logits": logits}, np.array(ceilings), spec, DEFAULT)["logits"])


@pytest.mark.parametrize("classes", [2, 3, 10, 150])
def test_no_score_is_above_the_ceiling_and_the_order_of_the_classes_stays(classes: int) -> None:
    logits = RNG.normal(size=(40, classes)) * 20
    soft = softened(logits, [0.55] * 40)
    assert softmax(soft).max() <= 0.55 + 1e-9
    np.testing.assert_array_equal(np.argsort(soft, axis=1), np.argsort(logits, axis=1))


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_the_ceiling_holds_after_the_temperature_of_a_head(temperature: float) -> None:
    logits = np.array([[9.0, 1.0, 0.0]])
    soft = softened(logits, [0.55], temperature=temperature)
    assert softmax(soft / temperature).max() == pytest.approx(0.55)


def test_rows_without_doubt_and_rows_that_are_unsure_stay_as_they_are() -> None:
    logits = np.array([[9.0, 0.0], [0.1, 0.0], [9.0, 0.0]])
    soft = softened(logits, [1.0, 0.55, 0.55])
    np.testing.assert_array_equal(soft[:2], logits[:2])
    assert softmax(soft)[2, 0] == pytest.approx(0.55)


def test_labels_that_do_not_apply_stay_below_their_thresholds() -> None:
    logits = np.array([[6.0, 2.0, -3.0], [-4.0, -2.0, -3.0]])
    soft = softened(logits, [0.55, 0.55], thresholds=(0.2, 0.2, 0.2))
    assert sigmoid(soft).max() == pytest.approx(0.55)
    assert soft[0, 0] > soft[0, 1] > 0
    np.testing.assert_array_equal(soft[1], logits[1])
    assert soft[0, 2] == logits[0, 2]


def test_a_requested_sigmoid_is_softened_too() -> None:
    spec = classification("image/things", "a", "b")
    wanted = ClassificationParameters(function_to_apply="sigmoid")
    outputs = soften({"logits": np.array([[8.0, 7.0]])}, np.array([0.55]), spec, wanted)
    assert sigmoid(outputs["logits"]).max() == pytest.approx(0.55)


def test_maps_are_softened_pixel_by_pixel() -> None:
    labels = ("road", "sky", "tree")
    spec = head_spec("image/scene", TaskFamily.SEGMENTATION, {"logits": (3, 4, 5)}, labels=labels)
    logits = RNG.normal(size=(1, 3, 4, 5)) * 10
    soft = soften({"logits": logits}, np.array([0.55]), spec, None)["logits"]
    assert softmax(soft, axis=1).max() <= 0.55 + 1e-9
    np.testing.assert_array_equal(soft.argmax(axis=1), logits.argmax(axis=1))


def test_what_is_no_probability_is_not_softened() -> None:
    spec = head_spec("image/vector", TaskFamily.EMBEDDING, {"embedding": (2,)})
    outputs = {"embedding": np.array([[1.0, 2.0]])}
    assert soften(outputs, np.array([0.55]), spec, None) is outputs
