"""The report of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.evaluation.fusion_gap_table import Gap
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.predictions import Answers
from omnivec2.training.evaluation.training_report import Report, read_curves
from omnivec2.training.journal import LOG_FILE
from tests.support.training import tiny_tasks

RESULT = HeadResult(
    route="tabular/sign",
    dataset="signs",
    split="test",
    samples=1234,
    metric="accuracy",
    value=0.9,
    baselines={"majority": 0.5, "linear": 0.8},
    higher_is_better=True,
)
GAP = Gap("tabular/sign", "accuracy", "test", 60, off=0.9, on=0.91, higher_is_better=True)


def answers(test_name: str = "signs") -> HeadAnswers:
    task = replace(tiny_tasks.classification(8), test_name=test_name)
    targets = list(task.splits["test"].targets)
    return HeadAnswers(task, "test", range(8), Answers(list(np.eye(2)[targets]), targets))


def test_a_report_without_a_log_has_figures_alone(tmp_path: Path) -> None:
    text = Report(tmp_path / "report").write([RESULT]).read_text()
    assert "| `tabular/sign` | signs | test | 1,234 | accuracy |" in text
    assert "majority 0.500, linear 0.800 | **0.900** | +0.100 |" in text
    assert "Losses" not in text
    assert "cross-attention" not in text
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert content["results"][0]["gain"] == 0.1 or abs(content["results"][0]["gain"] - 0.1) < 1e-9


def test_gaps_and_losses_have_sections_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"stage": "1-supervised", "step": step, "seconds": 1.0, "tabular/sign": 2.0 - step}
        for step in range(2)
    ]
    (tmp_path / LOG_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = Report(tmp_path).write([RESULT], [GAP]).read_text()
    assert "## With cross-attention (m = 1) and without (m = 0)" in text
    assert "+1.00 points" in text
    assert "| 1-supervised | `tabular/sign` | 2 | 1.500 | 1.500 |" in text
    assert (tmp_path / "curves.svg").read_text().startswith("<")


def test_every_test_of_a_head_gets_a_folder_of_pictures_of_its_own(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.add_answers(answers())
    report.add_answers(answers("other signs"))
    text = report.write([]).read_text()
    assert text.index("## tabular/sign: signs") < text.index("## tabular/sign: other signs")
    assert (tmp_path / "pictures").is_dir()
    assert (tmp_path / "pictures-2").is_dir()


def test_losses_are_read_by_stage_and_task(tmp_path: Path) -> None:
    rows = [
        {"stage": "1-masked", "step": 0, "seconds": 0.1, "image/a": 3.0},
        {"stage": "2-supervised", "step": 0, "seconds": 0.1, "image/a": 2.0, "text/b": 1.0},
        {"stage": "2-supervised", "step": 1, "seconds": 0.1, "image/a": 1.5},
    ]
    log = tmp_path / LOG_FILE
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_curves(log) == {
        ("1-masked", "image/a"): [3.0],
        ("2-supervised", "image/a"): [2.0, 1.5],
        ("2-supervised", "text/b"): [1.0],
    }
