from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
import torch
from rich.console import Console

from omnivec2.errors import UnknownModelError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.data import TaskData, load_task
from omnivec2.training.evaluation.fusion_gap import SavedRun, measure_gaps
from omnivec2.training.evaluation.fusion_gap_table import (
    Gap,
    describe_averages,
    gaps_markdown,
    gaps_table,
)
from omnivec2.training.sampling import PairSampler
from omnivec2.training.structure.network_structure import network_config
from tests.support.data_sets.tiny_data import TINY
from tests.support.training import tiny_tasks

QUIET = Console(file=io.StringIO())
TASKS = {
    task.route: task
    for task in (
        tiny_tasks.classification(),
        tiny_tasks.regression(),
        tiny_tasks.forecasting(),
        tiny_tasks.segmentation(),
        tiny_tasks.detection(),
    )
}


def _run(alpha: float, tasks: Mapping[str, TaskData] = TASKS) -> SavedRun:
    torch.manual_seed(0)
    network = OmniVec2(network_config("tiny", list(tasks.values()))).eval()
    for site in (network.fusion.before_g, network.fusion.before_heads):
        torch.nn.init.constant_(site.alpha, alpha)
    same, sizes = dict.fromkeys(tasks, 1), dict.fromkeys(tasks, 8)
    return SavedRun(network, tasks, PairSampler(tasks, same, sizes, 0, {}))


def test_a_fusion_whose_gates_are_zero_has_a_gap_of_exactly_zero() -> None:
    gaps = measure_gaps(_run(0.0), console=QUIET)
    assert [gap.route for gap in gaps] == list(TASKS)
    assert [gap.on for gap in gaps] == [gap.off for gap in gaps]
    assert all(gap.difference == 0 for gap in gaps)


def test_open_gates_change_the_results() -> None:
    gaps = {gap.route: gap for gap in measure_gaps(_run(2.0), console=QUIET)}
    assert gaps["tabular/double"].on != gaps["tabular/double"].off
    assert gaps["tabular/double"].difference != 0
    without = {gap.route: gap.off for gap in measure_gaps(_run(0.0), console=QUIET)}
    assert {route: gap.off for route, gap in gaps.items()} == without


def test_of_summaries_the_likelihood_of_the_wanted_words_is_compared(tmp_path) -> None:
    TINY["text/summarization"](tmp_path)
    text = load_task("text/summarization", tmp_path, cache=tmp_path / "cache")
    tasks = {text.route: text, "tabular/sign": TASKS["tabular/sign"]}
    without, beside = (
        measure_gaps(_run(alpha, tasks), only=[text.route], console=QUIET)[0]
        for alpha in (0.0, 2.0)
    )
    assert (without.metric, without.unit, without.difference) == ("nats a word", "%", 0)
    assert beside.off == without.off > 1
    assert beside.on != beside.off


def test_the_same_partners_are_drawn_again() -> None:
    first, second = (measure_gaps(_run(2.0), only=["tabular/double"], console=QUIET) for _ in "12")
    assert first == second


def test_chosen_heads_are_measured_on_so_many_samples_of_a_part() -> None:
    (gap,) = measure_gaps(
        _run(1.0), only=["tabular/sign"], split="val", most_samples=7, console=QUIET
    )
    assert (gap.route, gap.split, gap.samples) == ("tabular/sign", "val", 7)
    with pytest.raises(UnknownModelError, match="no head image/nothing"):
        measure_gaps(_run(1.0), only=["image/nothing"], console=QUIET)


def _gap(off: float, on: float, **fields) -> Gap:
    values = {"route": "a/b", "metric": "accuracy", "split": "test", "samples": 1000}
    return Gap(**{**values, "off": off, "on": on, "higher_is_better": True, **fields})


def test_a_gap_is_positive_where_cross_attention_helps() -> None:
    assert _gap(0.80, 0.805).difference == pytest.approx(0.5)
    error = _gap(0.5, 0.4, metric="rmse", higher_is_better=False)
    assert error.difference == pytest.approx(20)
    assert error.unit == "%"
    assert _gap(0.0, 0.0, higher_is_better=False).difference == 0


def test_tables_show_every_head_and_averages_by_unit() -> None:
    gaps = [_gap(0.8, 0.81), _gap(0.8, 0.78, route="c/d"), _gap(2, 1, higher_is_better=False)]
    said = describe_averages(gaps)
    assert "shares (2 heads): -0.50 points on average, 1.50 regardless of sign" in said
    assert "errors (1 heads): +50.00 % on average" in said
    lines = gaps_markdown(gaps)
    assert lines[2] == "| a/b | test | 1,000 | accuracy | 0.8000 | 0.8100 | +1.00 points |"
    assert said in lines[-1]
    text_file = io.StringIO()
    out = Console(file=text_file, width=200)
    out.print(gaps_table(gaps))
    assert all(cell in text_file.getvalue() for cell in ("c/d", "0.7800", "-2.00 points"))
