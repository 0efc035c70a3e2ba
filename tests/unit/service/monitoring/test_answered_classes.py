from __future__ import annotations

from typing import Any

import pytest

from omnivec2.spec import HeadSpec, Target, TaskFamily
from service.monitoring.answered_classes import has_predictions, read_predictions
from tests.support.model_repositories.tiny_models import (
    COLUMNS,
    classification,
    head_spec,
    tiny_heads,
)

PICTURE = classification("image/classification", "cat", "dog")
TABLE = classification("tabular/income", "low", "high", parameters={"columns": COLUMNS})
SEVERAL = PICTURE.model_copy(update={"thresholds": (0.5, 0.5)})
SOLUBILITY = head_spec(
    "graph/solubility",
    TaskFamily.REGRESSION,
    {"values": (1,)},
    targets=(Target(name="log solubility", unit="log mol/l"),),
)
DOG = {"label": "dog", "score": 0.9}
CAT = {"label": "cat", "score": 0.1}
VALUE = {"label": "log solubility", "value": -2.5, "unit": "log mol/l"}


@pytest.mark.parametrize(
    ("spec", "answer", "labels", "scores"),
    [
        (PICTURE, [DOG, CAT], [("dog",)], [0.9]),
        (PICTURE, [[DOG, CAT], [CAT, DOG]], [("dog",), ("cat",)], [0.9, 0.1]),
        (PICTURE, {"answer": [DOG, CAT], "explanations": [{}]}, [("dog",)], [0.9]),
        (PICTURE, [{"answer": [DOG]}, {"answer": [CAT]}], [("dog",), ("cat",)], [0.9, 0.1]),
        (PICTURE, [], [()], [None]),  # a threshold left no class
        (SEVERAL, [DOG, CAT], [("dog", "cat")], [0.9]),
        (SEVERAL, [[DOG], []], [("dog",), ()], [0.9, None]),
        (TABLE, ["high", "low"], [("high",), ("low",)], [None, None]),
        (SEVERAL, [["dog", "cat"], []], [("dog", "cat"), ()], [None, None]),
        (TABLE, [[[DOG, CAT], [CAT, DOG]], [[DOG, CAT]]], [("dog",), ("cat",), ("dog",)],
         [0.9, 0.1, 0.9]),
    ],
)  # fmt: skip
def test_the_classes_of_every_form_of_answer_are_found(
    spec: HeadSpec, answer: Any, labels: list[tuple[str, ...]], scores: list[float | None]
) -> None:
    found = read_predictions(spec, answer)
    assert [one.labels for one in found] == labels
    assert [one.score for one in found] == scores


@pytest.mark.parametrize(
    ("answer", "values"),
    [([VALUE], [-2.5]), ([[VALUE], [VALUE]], [-2.5, -2.5]), ([-2.5, 1], [-2.5, 1.0])],
)
def test_the_numbers_of_every_form_of_answer_are_found(answer: Any, values: list[float]) -> None:
    found = read_predictions(SOLUBILITY, answer)
    assert [one.values for one in found] == [{"log solubility": value} for value in values]
    assert [one.score for one in found] == values


def test_only_classes_and_numbers_of_a_sample_can_be_compared() -> None:
    able = {head.family for head in tiny_heads() if has_predictions(head)}
    assert able == {TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION}
    assert not has_predictions(
        head_spec("image/depth", TaskFamily.REGRESSION, {"values": (1, 8, 8)})
    )
