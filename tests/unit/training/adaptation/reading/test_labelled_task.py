"""New labelled files of a head that is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.reading.labelled_task import labelled_task
from omnivec2.training.data.base import TargetForm, preprocess_spec
from omnivec2.training.evaluation.simple_models import TRIVIAL, constant_baseline
from tests.support.data_sets import adapt_data
from tests.support.model_repositories.tiny_models import classification

HEAD = classification("text/topic", "cats", "money")


def forecast() -> HeadSpec:
    preprocess = preprocess_spec(Modality.TIMESERIES, context_length=48, horizon=12)
    return HeadSpec(
        modality=Modality.TIMESERIES,
        task="load",
        family=TaskFamily.FORECASTING,
        inputs=preprocessor_for(preprocess).inputs,
        outputs=(TensorSpec(name="mean", dtype="float32", shape=(12,)),),
        preprocess=preprocess,
        horizon=12,
        network="tiny",
    )


def part(tmp_path: Path, *lines: str) -> DataPart:
    path = tmp_path / "new.csv"
    path.write_text("\n".join(["text,topic", *lines]) + "\n")
    return DataPart.model_validate({"path": path, "label": "topic"})


def test_labels_get_the_numbers_that_the_head_gives_them(tmp_path: Path) -> None:
    found = labelled_task(HEAD, part(tmp_path, "a bank,money", "a cat,cats"), "new")
    test = found.splits["test"]
    assert np.asarray(test.targets).tolist() == [1, 0]
    assert set(test.samples[0]) == {tensor.name for tensor in HEAD.inputs}
    assert (found.metric, found.labels, found.test_name) == ("accuracy", HEAD.labels, "new")


def test_the_best_constant_answer_is_what_such_data_is_compared_with(tmp_path: Path) -> None:
    lines = ["a bank,money", "a cat,cats", "a loan,money", "a fee,money"]
    found = labelled_task(HEAD, part(tmp_path, *lines), "new")
    assert constant_baseline(found, "test") == {TRIVIAL: 0.75}


def test_a_label_that_the_head_does_not_know_is_named_with_its_row(tmp_path: Path) -> None:
    message = r"new\.csv, row 2: 'dogs' is no label of text/topic; it knows cats, money"
    with pytest.raises(InvalidInputError, match=message):
        labelled_task(HEAD, part(tmp_path, "a cat,cats", "a dog,dogs"), "new")


def test_a_head_of_another_family_is_refused(tmp_path: Path) -> None:
    head: HeadSpec = HEAD.model_copy(update={"family": TaskFamily.EMBEDDING})
    with pytest.raises(InvalidParameterError, match="this is embedding"):
        labelled_task(head, part(tmp_path, "a cat,cats"), "new")


def test_tags_of_new_files_are_zeros_and_ones_in_the_order_of_the_head(tmp_path: Path) -> None:
    head = HEAD.model_copy(update={"thresholds": (0.5, 0.5), "metrics": ()})
    found = labelled_task(head, part(tmp_path, "a bank,money", "both,cats;money", "none,"), "new")
    assert np.asarray(found.splits["test"].targets).tolist() == [[0, 1], [1, 1], [0, 0]]
    assert (found.metric, found.form) == ("map", TargetForm.MULTI_LABEL)
    assert constant_baseline(found, "test")[TRIVIAL] == pytest.approx(0.5, abs=0.2)


def test_every_window_of_new_series_counts_beside_the_last_value_and_the_last_season(
    tmp_path: Path,
) -> None:
    table = adapt_data.load_table(tmp_path / "load.csv", steps=90)
    found = labelled_task(forecast(), DataPart.model_validate({"path": table}), "new")
    test = found.splits["test"]
    assert len(test) == 2 * (90 - 48 - 12 + 1)
    assert test.targets[0].shape == (12,)
    simple = constant_baseline(found, "test")
    assert simple["seasonal"] < simple["naive"]


def test_new_series_that_are_too_short_are_refused_with_the_steps_they_need(
    tmp_path: Path,
) -> None:
    table = adapt_data.load_table(tmp_path / "load.csv", steps=50)
    with pytest.raises(InvalidInputError, match="give series of 60 steps or more"):
        labelled_task(forecast(), DataPart.model_validate({"path": table}), "new")
