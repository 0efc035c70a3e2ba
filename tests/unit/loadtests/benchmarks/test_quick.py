"""The comparison with a baseline."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from loadtests.benchmarks import quick
from loadtests.benchmarks.quick import (
    Fall,
    find_falls,
    ratio_table,
    read_baseline,
    write_baseline,
)
from loadtests.benchmarks.service_ratios import Ratios, Round

BASELINE = {"text/sentiment": {"1": 0.9, "16": 0.8}}


def results(many: float, one: float) -> list[Ratios]:
    return [Ratios("text/sentiment", "onnxruntime fp32, batch 4", [Round(many, 1.0, 1.0, one)])]


def run(
    monkeypatch: pytest.MonkeyPatch, directory: Path, measured: list[Ratios], *words: str
) -> int:
    """Run the command with measurements that are given."""
    monkeypatch.setattr(quick, "measure", lambda *_: measured)
    monkeypatch.setattr(quick, "cpu_family", lambda: "some-cpu")
    monkeypatch.setattr(quick, "unwind_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["quick", "--baselines", str(directory), *words])
    return quick.main()


def test_a_ratio_may_fall_by_as_much_as_measuring_differs() -> None:
    assert find_falls({"text/sentiment": {"1": 0.77, "16": 0.69}}, BASELINE, 0.15) == []


def test_a_ratio_that_fell_further_is_found() -> None:
    falls = find_falls({"text/sentiment": {"1": 0.76, "16": 0.69}}, BASELINE, 0.15)
    assert falls == [Fall("text/sentiment", "1", 0.9, 0.76)]
    assert "0.76 of the bare loop, the baseline is 0.90: 16 % less" in str(falls[0])


def test_heads_and_clients_without_a_baseline_are_not_compared() -> None:
    now = {"text/sentiment": {"64": 0.1}, "image/classification": {"1": 0.1}}
    assert find_falls(now, BASELINE, 0.15) == []


def test_a_ratio_that_rose_is_no_fall() -> None:
    assert find_falls({"text/sentiment": {"1": 1.8, "16": 1.6}}, BASELINE, 0.15) == []


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "some-cpu.json"
    write_baseline(path, results(0.8126, 0.9))
    assert read_baseline(path) == {"text/sentiment": {"1": 0.9, "16": 0.813}}
    assert json.loads(path.read_text())["loops"] == {"text/sentiment": "onnxruntime fp32, batch 4"}


def test_there_may_be_no_baseline(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "none.json") is None


def test_the_table_has_one_client_and_many() -> None:
    assert ratio_table(results(0.8, 0.9)) == BASELINE


def test_an_unknown_processor_passes_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, results(0.1, 0.1)) == 0
    assert "There is no baseline for processors like this one (some-cpu)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_when_a_ratio_fell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, results(0.8, 0.9), "--update") == 0
    assert run(monkeypatch, tmp_path, results(0.79, 0.9)) == 0
    assert "No ratio has fallen" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path, results(0.6, 0.9)) == 1
    assert "text/sentiment with 16 client(s): 0.60" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("path", sorted(quick.BASELINES.glob("*.json")), ids=lambda p: p.stem)
def test_every_committed_baseline_has_the_heads_that_are_measured(path: Path) -> None:
    from loadtests.benchmarks.service_ratios import default_inputs

    baseline = read_baseline(path)
    assert baseline is not None
    assert baseline.keys() == {given.route for given in default_inputs()}
    assert all(of_head.keys() == {"1", "16"} for of_head in baseline.values())
    assert all(0 < ratio < 3 for of_head in baseline.values() for ratio in of_head.values())
