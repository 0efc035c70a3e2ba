from __future__ import annotations

from typing import Any

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Target, TaskFamily
from service.monitoring.answered_classes import Prediction
from service.monitoring.feedback.truth import compare, read_truth, read_truths
from tests.support.model_repositories.tiny_models import classification, head_spec

PICTURE = classification("image/classification", "cat", "dog", "7")
SEVERAL = PICTURE.model_copy(update={"thresholds": (0.5, 0.5, 0.5)})
EMBEDDING = head_spec("text/embedding", TaskFamily.EMBEDDING, {"embedding": (4,)})


def regression(*targets: str) -> Any:
    named = tuple(Target(name=name, unit="m") for name in targets)
    return head_spec("graph/size", TaskFamily.REGRESSION, {"values": (len(named),)}, targets=named)


def test_a_class_is_known_by_its_name_or_its_index() -> None:
    assert read_truth(PICTURE, "dog", "label").labels == {"dog"}
    assert read_truth(PICTURE, 1, "label").labels == {"dog"}
    assert read_truth(PICTURE, "7", "label").labels == {"7"}
    assert read_truth(SEVERAL, ["dog", 0], "label").labels == {"cat", "dog"}
    assert read_truth(SEVERAL, [], "label").labels == set()


@pytest.mark.parametrize(
    "wrong", ["bird", 3, -1, True, 1.0, None, ["dog"], {"label": "dog"}, "x" * 99]
)
def test_another_class_is_refused_with_those_that_there_are(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="one of 3 classes") as caught:
        read_truth(PICTURE, wrong, "label")
    assert caught.value.known == ("cat", "dog", "7")
    assert caught.value.field == "label"
    assert len(str(caught.value)) < 250


def test_a_head_of_several_labels_wants_a_list() -> None:
    with pytest.raises(InvalidInputError, match="list of classes"):
        read_truth(SEVERAL, "dog", "label")
    with pytest.raises(InvalidInputError) as caught:
        read_truth(SEVERAL, ["dog", "bird"], "label")
    assert caught.value.field == "label[1]"


def test_numbers_are_given_for_one_target_or_by_name() -> None:
    assert read_truth(regression("length"), 2, "label").values == {"length": 2.0}
    two = regression("length", "width")
    assert read_truth(two, {"width": 3.5}, "label").values == {"width": 3.5}


@pytest.mark.parametrize(
    "wrong", ["2", None, True, float("nan"), {}, {"depth": 1}, {"length": "1"}]
)
def test_other_numbers_are_refused_with_the_targets(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"length \(m\)"):
        read_truth(regression("length"), wrong, "label")
    with pytest.raises(InvalidInputError, match="an object of target and number"):
        read_truth(regression("length", "width"), 1.0, "label")


def test_a_head_without_classes_takes_no_feedback() -> None:
    with pytest.raises(InvalidInputError, match="text/embedding answers with neither"):
        read_truth(EMBEDDING, "dog", "label")


def test_several_samples_want_as_many_labels() -> None:
    truths = read_truths(PICTURE, None, ["dog", 0], 2)
    assert [truth.labels for truth in truths] == [{"dog"}, {"cat"}]
    with pytest.raises(InvalidInputError, match="expected 3, one for each sample"):
        read_truths(PICTURE, None, ["dog", 0], 3)
    with pytest.raises(InvalidInputError, match="'labels', a list of as many"):
        read_truths(PICTURE, "dog", None, 2)
    with pytest.raises(InvalidInputError) as caught:
        read_truths(PICTURE, None, ["dog", "bird"], 2)
    assert caught.value.field == "labels[1]"


def test_a_set_of_labels_is_correct_if_it_is_the_same_set() -> None:
    truth = read_truth(SEVERAL, ["dog", "cat"], "label")
    assert compare(truth, Prediction(labels=("cat", "dog"))).word == "correct"
    assert compare(truth, Prediction(labels=("cat",))).word == "incorrect"
    assert compare(read_truth(PICTURE, "cat", "label"), Prediction()).word == "incorrect"


def test_a_number_is_measured_by_its_absolute_error() -> None:
    truth = read_truth(regression("length", "width"), {"length": 2.0}, "label")
    outcome = compare(truth, Prediction(values={"length": 1.5, "width": 9.0}))
    assert (outcome.word, outcome.errors) == ("measured", {"length": 0.5})
