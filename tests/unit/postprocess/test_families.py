"""Properties of the postprocessors of all families."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess import postprocessor_for
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, Target, TaskFamily

RNG = np.random.default_rng(3)


def spec(family: TaskFamily, modality=Modality.IMAGE, **fields) -> HeadSpec:
    return HeadSpec(
        modality=modality,
        task="task",
        family=family,
        inputs=(),
        outputs=(),
        preprocess=PreprocessSpec(name=modality, version=1),
        network="tiny",
        **fields,
    )


def floats(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


LABELS = ("a", "b", "c")
CASES = {
    "classification": (
        spec(TaskFamily.CLASSIFICATION, labels=LABELS),
        {"logits": floats(1, 3)},
        {},
    ),
    "text": (
        spec(TaskFamily.CLASSIFICATION, Modality.TEXT, labels=LABELS),
        {"logits": floats(1, 3)},
        {},
    ),
    "table": (
        spec(TaskFamily.CLASSIFICATION, Modality.TABULAR, labels=LABELS),
        {"logits": floats(4, 3)},
        {"form": "table", "reduce": "each"},
    ),
    "rows": (
        spec(TaskFamily.CLASSIFICATION, Modality.TABULAR, labels=LABELS),
        {"logits": floats(4, 3)},
        {"form": "inputs", "reduce": "each"},
    ),
    "labels": (
        spec(TaskFamily.CLASSIFICATION, labels=LABELS, thresholds=(0.1, 0.9, 0.5)),
        {"logits": floats(1, 3)},
        {},
    ),
    "labels of a table": (
        spec(
            TaskFamily.CLASSIFICATION, Modality.TABULAR, labels=LABELS, thresholds=(0.1, 0.9, 0.5)
        ),
        {"logits": floats(4, 3)},
        {"form": "table", "reduce": "each"},
    ),
    "map": (
        HeadSpec.model_validate(
            spec(TaskFamily.REGRESSION, targets=(Target(name="d", unit="m"),)).model_dump()
            | {"outputs": [{"name": "values", "dtype": "float32", "shape": (1, 4, 6)}]}
        ),
        {"values": floats(1, 1, 4, 6)},
        {"size": (21, 17)},
    ),
    "detection": (
        spec(TaskFamily.DETECTION, labels=LABELS),
        {"logits": 9 * floats(1, 5, 4), "boxes": RNG.uniform(0.3, 0.6, (1, 5, 4))},
        {"size": (40, 30)},
    ),
    "picture": (
        spec(TaskFamily.SEGMENTATION, labels=LABELS),
        {"logits": floats(1, 3, 4, 5)},
        {"size": (21, 17)},
    ),
    "pixels": (
        spec(TaskFamily.SEGMENTATION, Modality.HYPERSPECTRAL, labels=LABELS),
        {"logits": floats(6, 3)},
        {"grid": (2, 3)},
    ),
    "points": (
        spec(TaskFamily.SEGMENTATION, Modality.POINTCLOUD, labels=LABELS),
        {"logits": floats(1, 2, 3)},
        {"assignment": np.array([0, 1, -1], dtype=np.int32)},
    ),
    "regression": (
        spec(TaskFamily.REGRESSION, Modality.GRAPH, targets=(Target(name="s", unit="m"),)),
        {"values": floats(1, 1)},
        {},
    ),
    "regression of a table": (
        spec(TaskFamily.REGRESSION, Modality.TABULAR, targets=(Target(name="s", unit="m"),)),
        {"values": floats(3, 1)},
        {"form": "table", "reduce": "each"},
    ),
    "forecasting": (
        spec(TaskFamily.FORECASTING, Modality.TIMESERIES, horizon=4, quantiles=(0.1, 0.9)),
        {"mean": floats(2, 4), "quantiles": floats(2, 2, 4)},
        {"names": ["x", "y"]},
    ),
    "embedding": (spec(TaskFamily.EMBEDDING, Modality.AUDIO), {"embedding": floats(3, 8)}, {}),
    "summarization": (
        spec(TaskFamily.SUMMARIZATION, Modality.TEXT),
        {"ids": np.array([[1996, 3899, 1012, 102]])},
        {},
    ),
}
IN_NUMBERS = [name for name in CASES if name != "summarization"]


def answer(name: str, **parameters):
    head, outputs, context = CASES[name]
    post = postprocessor_for(head.family)
    result = post(outputs, context, head, post.parameters_type(**parameters))
    return post.combine([result], batched=False, spec=head)


def test_every_family_has_a_postprocessor_of_its_own():
    assert {postprocessor_for(family).family for family in TaskFamily} == set(TaskFamily)


@pytest.mark.parametrize("name", CASES)
def test_answers_are_plain_json(name):
    value = answer(name)
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize("name", CASES)
def test_answers_fit_the_documented_schema(name):
    head = CASES[name][0]
    adapter = TypeAdapter(postprocessor_for(head.family).response_schema(head))
    adapter.validate_json(json.dumps(answer(name)), strict=True)
    assert adapter.json_schema()


@pytest.mark.parametrize("name", CASES)
def test_answers_to_a_list_of_inputs_fit_the_documented_schema(name):
    head, outputs, context = CASES[name]
    post = postprocessor_for(head.family)
    result = post(outputs, context, head, post.parameters_type())
    several = post.combine([result, result], batched=True, spec=head)
    TypeAdapter(post.batch_schema(head)).validate_json(json.dumps(several), strict=True)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("name", IN_NUMBERS)
def test_values_that_are_not_finite_never_leave(name, broken):
    head, outputs, context = CASES[name]
    post = postprocessor_for(head.family)
    for key in outputs:
        damaged = {other: array.copy() for other, array in outputs.items()}
        damaged[key].flat[0] = broken
        with pytest.raises(ModelNotReadyError, match="finite"):
            post(damaged, context, head, post.parameters_type())


@pytest.mark.parametrize("name", CASES)
def test_an_output_that_is_missing_or_of_another_shape_is_the_models_fault(name):
    head, outputs, context = CASES[name]
    post = postprocessor_for(head.family)
    for key, array in outputs.items():
        for wrong in ({}, {key: array[None]}, {key: array[:0]}):
            others = {other: value for other, value in outputs.items() if other != key}
            with pytest.raises(ModelNotReadyError, match="/task"):
                post({**others, **wrong}, context, head, post.parameters_type())


@pytest.mark.parametrize("name", ["classification", "detection", "picture"])
def test_a_head_spec_of_other_classes_is_the_models_fault(name):
    head, outputs, context = CASES[name]
    post = postprocessor_for(head.family)
    wrong = head.model_copy(update={"labels": ("a", "b")})
    with pytest.raises(ModelNotReadyError, match="names 2"):
        post(outputs, context, wrong, post.parameters_type())


@pytest.mark.parametrize("family", TaskFamily)
def test_unknown_parameters_are_errors_and_null_is_the_default(family):
    kind = postprocessor_for(family).parameters_type
    with pytest.raises(ValidationError):
        kind.model_validate({"nonsense": 1})
    assert kind.model_validate(dict.fromkeys(kind.model_fields)) == kind()
