"""``omnivec2 train``, ``gap`` and ``evaluate`` on a tiny data set, from a recipe to a report.

The network is really trained, for a step. Its graphs are tiny ones instead of exported ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnivec2.checkpoint import read_checkpoint
from omnivec2_cli import engine_comparison
from tests.support.checkpoints.runnable_exports import export_tiny_graphs
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.command_line import run
from tests.support.data_sets.tiny_data import TINY

RECIPE = """
preset: tiny
steps: 2
bf16: false
warm_start: false
warmup_steps: 1
checkpoint_every_steps: 1
tasks:
  imu/activity: {weight: 1, batch_size: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a recipe; what the tests write stays for those after them."""
    root = tmp_path_factory.mktemp("training")
    (root / "data").mkdir()
    TINY["imu/activity"](root / "data")
    (root / "recipe.yaml").write_text(RECIPE)
    return root


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared arrays are cached in the working directory; tables are not cut."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMNIVEC2_DATA", "data")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """A checkpoint of a finished run; both were stopped once and resumed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = ("train", "recipe.yaml", "--data", "data", "--run", "run", "--checkpoint", "mine")
        for options in (("--stop-after", "1"), ()):
            result = run(*command, *options, "--device", "cpu")
            assert result.exit_code == 0, result.output
    export_tiny_graphs(read_checkpoint(folder / "mine"))
    return folder / "mine"


def test_a_run_that_was_stopped_resumes_with_the_next_step(trained: Path) -> None:
    lines = Path("run/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
    assert [head.route for head in read_checkpoint(trained).heads] == [
        "imu/activity",
        "imu/embedding",
    ]


def test_a_run_is_measured_on_the_test_parts_and_reported_when_asked_for(trained: Path) -> None:
    command = ("train", "recipe.yaml", "--run", "run", "--checkpoint", "mine", "--device", "cpu")
    result = run(*command, "--evaluate")
    assert result.exit_code == 0, result.output
    assert "up to date: 2 heads" in result.stdout
    assert "wrote run/report.md" in result.stdout
    assert "imu/activity" in Path("run/report.md").read_text()
    figures = {head.route: head.metrics for head in read_checkpoint(trained).heads}
    assert all(metrics for metrics in figures.values())


def test_figures_are_printed_and_written_but_saved_only_when_asked_for(trained: Path) -> None:
    before = read_checkpoint(trained).heads
    options = ("--checkpoint", "mine", "--model-repo", "repository", "--json", "figures.json")
    result = run("evaluate", "imu/activity", *options, "--split", "val", "--report", "seen")
    assert result.exit_code == 0, result.output
    assert "imu/activity" in result.stdout
    assert "wrote seen/report.md" in result.stdout
    assert "imu/embedding" not in Path("figures.json").read_text()
    assert read_checkpoint(trained).heads == before
    result = run("evaluate", "imu/activity", *options, "--split", "val", "--save")
    assert result.exit_code == 0, result.output
    saved = {head.route: head.metrics for head in read_checkpoint(trained).heads}
    assert saved["imu/activity"][0].split == "val"


def test_a_head_that_is_not_there_cannot_be_measured(trained: Path) -> None:
    options = ("--checkpoint", "mine", "--model-repo", "repository")
    result = run("evaluate", "imu/smell", *options)
    assert result.exit_code == 2
    assert "imu/smell" in result.stderr


def test_the_gap_is_a_table_and_a_file(trained: Path) -> None:
    options = ("--run", "run", "--device", "cpu", "--most-samples", "2", "--json", "gap.json")
    result = run("gap", "recipe.yaml", *options)
    assert result.exit_code == 0, result.output
    assert "imu/activity" in result.stdout
    assert "points" in result.stdout
    assert "imu/activity" in Path("gap.json").read_text()


def test_a_gap_needs_the_state_of_a_run(trained: Path) -> None:
    result = run("gap", "recipe.yaml", "--run", "none")
    assert result.exit_code == 1
    assert "none" in result.stderr


def test_a_run_without_trained_heads_has_nothing_to_measure(folder: Path) -> None:
    masked = RECIPE.replace("steps: 2", "steps: 0", 1)
    (folder / "masked.yaml").write_text(masked + "stages: [{kind: masked, steps: 1}]\n")
    options = ("--run", "masked", "--checkpoint", "empty", "--device", "cpu", "--evaluate")
    result = run("train", "masked.yaml", *options)
    assert result.exit_code == 1
    assert "empty has no heads to measure: no supervised stage was run" in result.stderr


@pytest.mark.parametrize("command", ["train", "gap", "ablate"])
def test_an_unknown_recipe_is_named_with_those_that_ship(command: str) -> None:
    result = run(command, "nonsense")
    assert result.exit_code == 1
    assert "no recipe at" in result.stderr
    assert "recipes by name: " in result.stderr
    assert "reference-heads" in result.stderr
    assert "reference" in result.stderr


@pytest.mark.parametrize("command", ["train", "gap"])
def test_a_wrong_field_of_a_recipe_is_named_with_its_line(folder: Path, command: str) -> None:
    (folder / "wrong.yaml").write_text(RECIPE + "speed: 1\n")
    result = run(command, "wrong.yaml")
    assert result.exit_code == 1
    assert "speed" in result.stderr
    assert "wrong.yaml:" in result.stderr


@pytest.mark.parametrize("arguments", [("train", "recipe.yaml"), ("align",)])
def test_a_missing_data_set_is_named_with_what_to_give(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(*arguments, "--data", tmp_path)
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
    assert "docs/training.md" in result.stderr


def test_an_unknown_data_set_to_align_is_named_with_those_there_are() -> None:
    result = run("align", "nonsense")
    assert result.exit_code == 1
    assert "utd-mhad" in result.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [("train", "--stop-after"), ("gap", "--most-samples"), ("evaluate", "--most-samples"),
     ("align", "--steps"), ("ablate", "--seeds")],
)  # fmt: skip
def test_nothing_can_be_done_zero_times(command: str, option: str) -> None:
    result = run(command, option, "0")
    assert result.exit_code == 2
    assert option in result.stderr


@pytest.fixture(scope="module")
def in_both_layouts(trained: Path) -> Path:
    """A checkpoint of the same heads whose tiny graphs are exported whole and in parts."""
    return write_tiny_export(trained.with_name("both"), read_checkpoint(trained).heads)


def test_an_engine_is_compared_with_float32_as_it_serves_the_shared_layout(
    in_both_layouts: Path,
) -> None:
    command = ("evaluate", "-c", in_both_layouts, "--model-repo", "compared", "imu/activity")
    options = ("--engine", "onnxruntime", "--precision", "fp32")
    result = run(*command, *options, "--json", "compared.json")
    assert result.exit_code == 0, result.output
    assert "onnxruntime fp32" in result.stdout
    (row,) = json.loads(Path("compared.json").read_text())["results"]
    assert (row["route"], row["metric"], row["points"]) == ("imu/activity", "accuracy", 0)
    assert Path("compared-shared/trunk/1/model.onnx").is_file()


def test_the_engine_that_serves_a_head_is_compared_if_none_is_named(in_both_layouts: Path) -> None:
    command = ("evaluate", "-c", in_both_layouts, "--model-repo", "compared", "imu/activity")
    result = run(*command, "--engine", "auto", "--json", "compared.json")
    assert result.exit_code == 0, result.output
    content = json.loads(Path("compared.json").read_text())
    assert content["engine"] == "auto"
    assert abs(content["results"][0]["points"]) < 1


def test_an_engine_that_loses_a_metric_fails_the_command(
    in_both_layouts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_comparison, "MOST_POINTS_LOST", -1)  # it must be a point better
    command = ("evaluate", "-c", in_both_layouts, "--model-repo", "compared", "imu/activity")
    result = run(*command, "--engine", "onnxruntime", "--precision", "fp32")
    assert result.exit_code == 1, result.output
    assert "onnxruntime fp32 loses more than -1 points: imu/activity (accuracy" in result.stderr


def test_figures_of_an_engine_are_not_saved_as_those_of_the_network(in_both_layouts: Path) -> None:
    result = run("evaluate", "-c", in_both_layouts, "--engine", "onnxruntime", "--save")
    assert result.exit_code == 2
    assert "--save and --report" in result.stderr


def test_all_heads_are_measured_once_with_intervals_results_and_a_ledger(
    in_both_layouts: Path, tmp_path: Path
) -> None:
    ledger, results = tmp_path / "looks.jsonl", tmp_path / "results"
    command = (
        "evaluate", "--all", "-c", in_both_layouts, "--model-repo", tmp_path / "repo",
        "--results", results, "--ledger", ledger, "--most-samples", "8",
    )  # fmt: skip
    result = run(*command, "--reason", "a trial")
    assert result.exit_code == 0, result.output
    (file,) = results.glob("both_*.json")
    content = json.loads(file.read_text())
    head, embedding = content["figures"]
    assert (head["route"], head["metric"], head["samples"]) == ("imu/activity", "accuracy", 2)
    assert head["low"] <= head["value"] <= head["high"]
    assert head["ece"] is not None
    assert embedding["kind"] == "test"
    assert content["engine"] == "auto"
    assert {path.suffix for path in results.iterdir()} == {".json", ".md", ".html"}
    looks = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [(look["head"], look["why"]) for look in looks] == [
        ("imu/activity", "a trial"), ("imu/embedding", "a trial"),
    ]  # fmt: skip
    assert run(*command).exit_code == 0
    assert len(ledger.read_text().splitlines()) == 2  # nothing was measured again
    assert run(*command, "--again", "--no-ledger").exit_code == 0
    assert len(ledger.read_text().splitlines()) == 2


def test_the_measurement_of_all_heads_writes_its_own_results(in_both_layouts: Path) -> None:
    result = run("evaluate", "-c", in_both_layouts, "--all", "--save")
    assert result.exit_code == 2
    assert "--all writes its own results" in result.stderr
    assert run("evaluate", "-c", in_both_layouts, "--again").exit_code == 2
