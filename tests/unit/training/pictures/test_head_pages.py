from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data.base import Split, preprocess_spec
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.evaluation.predictions import Answers
from omnivec2.training.pictures.answered_samples import SHOWN, pick
from omnivec2.training.pictures.head_pages import show_head
from omnivec2.training.pictures.loss_curves import draw_curves
from tests.support.training import tiny_tasks


def _measured(task, predicted) -> HeadAnswers:
    part = task.splits["test"]
    wanted = list(part.targets if part.references is None else part.references)
    return HeadAnswers(task, "test", range(len(part)), Answers(predicted, wanted))


def _classification() -> HeadAnswers:
    """Always right, but for the last two samples: of those the last is surer."""
    task = tiny_tasks.classification()
    logits = np.eye(2)[task.splits["test"].targets] * 2
    logits[-2:] = 1 - np.array([[2], [5]]) * logits[-2:]
    return _measured(task, list(logits))


def _regression() -> HeadAnswers:
    task = tiny_tasks.regression()
    return _measured(task, [target + 0.1 for target in task.splits["test"].targets])


def _forecasting() -> HeadAnswers:
    task = tiny_tasks.forecasting()
    part = task.splits["test"]
    wanted = [target / scale for target, scale in zip(part.targets, part.scales, strict=True)]
    noise = np.linspace(0, 1, len(part))
    predicted = [target + error for target, error in zip(wanted, noise, strict=True)]
    return HeadAnswers(task, "test", range(len(part)), Answers(predicted, wanted))


def _segmentation() -> HeadAnswers:
    task = tiny_tasks.segmentation()
    masks = [np.where(mask == 255, 0, mask) for mask in task.splits["test"].references]
    masks[0] = 1 - masks[0]
    return _measured(task, masks)


def _detection() -> HeadAnswers:
    task = tiny_tasks.detection()
    boxes = task.splits["test"].targets
    found = [{**target, "scores": np.full(len(target["labels"]), 0.9)} for target in boxes]
    found[0] = {**found[0], "boxes": found[0]["boxes"] / 2}
    found[1] = {**found[1], "scores": np.array([0.1])}
    return _measured(task, found)


CASES: dict[TaskFamily, tuple[Callable[[], HeadAnswers], set[str]]] = {
    TaskFamily.CLASSIFICATION: (_classification, {"confusion"}),
    TaskFamily.REGRESSION: (_regression, {"scatter"}),
    TaskFamily.FORECASTING: (_forecasting, {"samples"}),
    TaskFamily.SEGMENTATION: (_segmentation, {"confusion", "samples"}),
    TaskFamily.DETECTION: (_detection, {"samples"}),
}


@pytest.mark.parametrize("family", CASES)
def test_every_picture_of_a_head_is_named_in_the_report(family, tmp_path: Path) -> None:
    make, kinds = CASES[family]
    measured = make()
    text = "\n".join(show_head(measured, tmp_path / "pictures"))
    stem = measured.task.route.replace("/", "-")
    files = {f"pictures/{stem}-{kind}.png" for kind in kinds}
    assert set(re.findall(r"\]\((.+?)\)", text)) == files
    for file in files:
        pixels = np.asarray(Image.open(tmp_path / file).convert("L"))
        assert pixels.std() > 5


def test_tables_show_right_answers_and_last_the_wrong_one_of_highest_score(tmp_path: Path) -> None:
    measured = _classification()
    rows = [r for r in show_head(measured, tmp_path) if r.startswith("|")]
    assert rows[0] == "| truth | answer | a | b |"
    assert len(rows) == 2 + SHOWN
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    wrong = [cell[1].startswith("**") for cell in cells]
    assert wrong == [False] * (SHOWN - 2) + [True] * 2
    assert all(
        (truth in answer) != bad for (truth, answer, *_), bad in zip(cells, wrong, strict=True)
    )
    last = measured.sample(len(measured.rows) - 1)["numbers"]
    assert cells[-1][2] == f"{last[0]:g}"


def test_pictures_of_classes_carry_no_table(tmp_path: Path) -> None:
    squares = tiny_tasks.detection()
    parts = {
        part: replace(split, targets=[i % 2 for i in range(len(split))])
        for part, split in squares.splits.items()
    }
    task = replace(squares, family=TaskFamily.CLASSIFICATION, labels=("x", "y"), splits=parts)
    logits = [np.array([1.0, 0.0])] * len(parts["test"])
    text = "\n".join(show_head(_measured(task, logits), tmp_path))
    assert "image-squares-samples.png" in text
    assert "|" not in text


def test_summaries_stand_beside_their_references_the_worst_last(tmp_path: Path) -> None:
    spec = preprocess_spec(Modality.TEXT, max_tokens=32, pair=False)
    texts = [f"Nurse: how many days? Patient: {n}." for n in range(3)]
    samples = [preprocessor_for(spec).prepare(text).samples[0] for text in texts]
    wanted = [(f"{n} days.",) for n in range(3)]
    task = replace(
        tiny_tasks.classification(),
        route="text/summarization",
        family=TaskFamily.SUMMARIZATION,
        preprocess=spec,
        metric="rougeL",
        splits={"test": Split(samples, wanted)},
    )
    written = ["0 days.", "something else", "2 days."]
    lines = show_head(HeadAnswers(task, "test", range(3), Answers(written, wanted)), tmp_path)
    assert lines[2] == "| 0 days. | 0 days. | Nurse: how many days? Patient: 0. |"
    assert lines[-1].startswith("| 1 days. | something else |")
    assert len(lines) == 5


def test_a_family_without_pictures_has_an_empty_page(tmp_path: Path) -> None:
    task = replace(tiny_tasks.classification(), family=TaskFamily.EMBEDDING)
    assert show_head(_measured(task, []), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_where_all_are_right_only_typical_ones_are_picked() -> None:
    assert pick(np.zeros(15)) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_where_none_is_simply_right_they_are_picked_by_their_error() -> None:
    errors = np.arange(20, 0, -1) / 10
    picked = pick(errors)
    assert picked == sorted(picked, reverse=True)
    assert (picked[0], picked[-1]) == (19, 0)


def test_fewer_inputs_than_places_are_shown_once_each() -> None:
    assert pick(np.array([0.0, 0.5, 0.0])) == [0, 2, 1]


def test_a_curve_is_the_smoothed_loss_without_what_is_no_number(tmp_path: Path) -> None:
    curves = {("1-masked", "a/b"): [4.0] * 300, ("2-supervised", "a/b"): [float("nan")] * 3}
    draw_curves(path := tmp_path / "curves.svg", curves)
    text = path.read_text()
    assert 'id="loss 1-masked a/b"' in text
    assert "2-supervised a/b" in text
    assert "NaN" not in text
