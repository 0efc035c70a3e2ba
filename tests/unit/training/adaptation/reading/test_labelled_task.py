"""New labelled files of a head that is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.reading.labelled_task import labelled_task
from omnivec2.training.evaluation.simple_models import TRIVIAL, constant_baseline
from tests.support.tiny_models import classification

HEAD = classification("text/topic", "cats", "money")


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
