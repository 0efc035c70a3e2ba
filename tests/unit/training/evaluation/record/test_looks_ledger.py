"""The ledger of looks at test parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.record.looks_ledger import LooksLedger, read_looks
from tests.support.documents import ROOT

RESULT = HeadResult(
    route="text/sentiment", dataset="SST-2 test", split="test", samples=911, metric="accuracy",
    value=0.89123456, baselines={}, higher_is_better=True,
)  # fmt: skip


def test_every_look_is_added_with_its_figure_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "looks.jsonl"
    LooksLedger(file, "figures of a release", "329eda").record([RESULT])
    LooksLedger(file, "another head").record([replace(RESULT, route="text/paraphrase")])
    first, second = read_looks(file)
    assert (first.head, first.part, first.samples) == ("text/sentiment", "test", 911)
    assert (first.figure, first.why, first.checkpoint) == (
        0.891235,
        "figures of a release",
        "329eda",
    )
    assert (second.head, second.why) == ("text/paraphrase", "another head")


def test_looks_at_validation_data_are_not_written_down(tmp_path: Path) -> None:
    file = tmp_path / "looks.jsonl"
    LooksLedger(file, "trial").record([replace(RESULT, split="val")])
    assert not file.exists()
    LooksLedger(file, "trial").record([replace(RESULT, split="unseen")])
    assert read_looks(file)[0].part == "unseen"


def test_a_line_that_is_no_look_is_named(tmp_path: Path) -> None:
    file = tmp_path / "looks.jsonl"
    LooksLedger(file, "trial").record([RESULT])
    file.write_text(file.read_text() + '{"date": "2026-11-22"}\n')
    with pytest.raises(ArtifactError, match="line 2"):
        read_looks(file)


def test_the_ledger_of_this_repository_can_be_read() -> None:
    looks = read_looks(ROOT / "docs" / "test-looks.jsonl")
    assert {"test", "unseen"} <= {look.part for look in looks}
    assert looks[0].checkpoint.startswith("commit ")
