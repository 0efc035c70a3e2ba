"""A training run from a recipe and files to a checkpoint."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import ArtifactError, CheckpointError
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.fusion_gap import load_run
from omnivec2.training.journal import LOG_FILE
from omnivec2.training.recipe import Recipe
from omnivec2.training.training_run import Paths, Training, train
from tests.support.data_sets.tiny_data import TINY

ROUTES = ("imu/activity", "tabular/income")


class SecondProcess(Machine):
    """The second of two processes, without the first."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.index = 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for route in ROUTES:
        TINY[route](root)
    return root


@pytest.fixture(autouse=True)
def cache_in_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared arrays are cached in the working directory."""
    monkeypatch.chdir(tmp_path)


def recipe(**changes: object) -> Recipe:
    values = {
        "preset": "tiny",
        "steps": 2,
        "bf16": False,
        "warm_start": False,
        "warmup_steps": 1,
        "checkpoint_every_steps": 1,
        "tasks": {route: {"weight": 1, "batch_size": 2} for route in ROUTES},
    }
    return Recipe.model_validate(values | changes)


def paths(folder: Path, data: Path) -> Paths:
    return Paths(data=data, run=folder / "run", checkpoint=folder / "checkpoint")


def run(
    made: Recipe, where: Paths, steps: int | None = None, machine: Machine | None = None
) -> str:
    """Run and return the printed text."""
    console = Console(file=io.StringIO(), width=200)
    Training(made, where, console, machine or Machine("cpu")).run(steps)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def logged_steps(where: Paths) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in (where.run / LOG_FILE).read_text().splitlines()]
    return [(row["stage"], row["step"]) for row in rows]


def test_a_run_prints_its_size_and_where_it_wrote(tmp_path: Path, data: Path) -> None:
    where = paths(tmp_path, data)
    printed = run(recipe(), where)
    assert "reading imu/activity" in printed
    assert "2 tasks, 2 steps" in printed
    assert f"wrote {where.checkpoint}" in printed
    assert logged_steps(where) == [("1-supervised", step) for step in range(2)]


def test_a_stopped_run_resumes_at_its_next_step(tmp_path: Path, data: Path) -> None:
    where = paths(tmp_path, data)
    assert "resuming" not in run(recipe(), where, steps=1)
    assert "resuming at step 1" in run(recipe(), where)
    assert logged_steps(where) == [("1-supervised", step) for step in range(2)]


def test_a_finished_run_goes_on_when_its_recipe_has_more_steps_or_epochs(
    tmp_path: Path, data: Path
) -> None:
    where = paths(tmp_path, data)
    run(recipe(), where)
    assert "resuming at step 2 of 3" in run(recipe(steps=3), where)
    printed = run(recipe(steps=0, epochs=0.5), where)
    (steps,) = re.findall(r"0.5 epochs are (\d+) steps", printed)
    assert f"resuming at step 3 of {steps}" in printed
    assert logged_steps(where) == [("1-supervised", step) for step in range(int(steps))]


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path, data: Path) -> None:
    where = paths(tmp_path, data)
    run(recipe(), where)
    written = (where.checkpoint / "weights.safetensors").stat().st_mtime_ns
    run(recipe(), where)
    assert logged_steps(where) == [("1-supervised", step) for step in range(2)]
    assert (where.checkpoint / "weights.safetensors").stat().st_mtime_ns >= written


def test_a_finished_run_writes_its_checkpoint_where_none_lies(tmp_path: Path, data: Path) -> None:
    where = paths(tmp_path, data)
    run(recipe(), where)
    elsewhere = Paths(data=data, run=where.run, checkpoint=tmp_path / "other")
    run(recipe(), elsewhere)
    first, second = (read_checkpoint(one.checkpoint) for one in (where, elsewhere))
    assert (first.digest, first.heads) == (second.digest, second.heads)


def test_tasks_that_are_not_served_have_no_head_in_the_checkpoint(
    tmp_path: Path, data: Path
) -> None:
    tasks = {route: {"weight": 1, "batch_size": 2} for route in ROUTES}
    tasks["imu/activity"]["served"] = False
    where = paths(tmp_path, data)
    run(recipe(steps=1, tasks=tasks), where)
    heads = {head.route for head in read_checkpoint(where.checkpoint).heads}
    assert heads == {"tabular/income", "tabular/embedding", "imu/embedding"}


def test_stages_continue_one_another_and_heads_ship_after_the_supervised_one(
    tmp_path: Path, data: Path
) -> None:
    stages = [{"kind": "masked", "steps": 1}, {"kind": "supervised", "steps": 1}]
    made, where = recipe(steps=0, stages=stages), paths(tmp_path, data)
    run(made, where, steps=1)
    assert not where.checkpoint.exists()
    with pytest.raises(CheckpointError, match="there are no heads yet"):
        load_run(made, where.run, data)
    run(made, where)
    assert logged_steps(where) == [("1-masked", 0), ("2-supervised", 0)]
    heads = {head.route for head in read_checkpoint(where.checkpoint).heads}
    assert set(ROUTES) <= heads


def test_a_saved_run_gives_the_trained_tasks_and_their_batch_sizes(
    tmp_path: Path, data: Path
) -> None:
    stages = [
        {"kind": "masked", "steps": 1},
        {"kind": "supervised", "steps": 1, "only": ["imu/activity"]},
    ]
    made, where = recipe(steps=0, stages=stages), paths(tmp_path, data)
    run(made, where)
    saved = load_run(made, where.run, data)
    assert list(saved.tasks) == ["imu/activity"]
    assert saved.sampler.batch_sizes == {"imu/activity": 2}
    assert not saved.network.training


def test_a_run_directory_of_another_recipe_is_refused(tmp_path: Path, data: Path) -> None:
    where = paths(tmp_path, data)
    run(recipe(), where, steps=1)
    with pytest.raises(CheckpointError, match="another recipe"):
        run(recipe(seed=1), where)


def test_other_processes_than_the_first_print_nothing_and_write_no_checkpoint(
    tmp_path: Path, data: Path
) -> None:
    where = paths(tmp_path, data)
    assert run(recipe(steps=1), where, machine=SecondProcess()) == ""
    assert not where.checkpoint.exists()
    assert (where.run / "process-1" / LOG_FILE).is_file()


def test_training_goes_on_from_the_weights_of_a_checkpoint(tmp_path: Path, data: Path) -> None:
    first = paths(tmp_path / "first", data)
    run(recipe(), first)
    second = paths(tmp_path / "second", data)
    continued = Training(
        recipe(start_from=str(first.checkpoint), frozen_trunk=True, frozen_tokenizers=True),
        second,
        Console(quiet=True),
        Machine("cpu"),
    )
    continued.run(1)
    trained = {name for name, p in continued.network.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith(("heads.", "fusion.")) for name in trained)


def test_missing_data_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ArtifactError, match="imu"):
        train(recipe(), paths(tmp_path, tmp_path / "data"))
