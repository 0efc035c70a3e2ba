"""A complete training run on small synthetic tasks: it learns, stops, resumes, and serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import CheckpointError
from omnivec2.network.fusion import ALPHA_START
from omnivec2.network.omnivec2 import module_name
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import collate
from omnivec2.training import training_run as running
from omnivec2.training.batches import as_tensors
from omnivec2.training.evaluation import fusion_gap
from omnivec2.training.recipe import Recipe, TaskRecipe
from omnivec2.training.training_run import Paths
from tests.support.training import tiny_tasks

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
PRETRAINED = {"tabular/sign": {"weight": 1, "batch_size": 4}}
RECIPE = Recipe(
    preset="tiny",
    steps=12,
    warmup_steps=2,
    bf16=False,
    warm_start=False,
    checkpoint_every_steps=5,
    validate_every_steps=100,
    tasks={route: TaskRecipe(weight=1, batch_size=4) for route in TASKS},
)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (running, fusion_gap):
        monkeypatch.setattr(module, "load_task", lambda route, *_, **__: TASKS[route])


def _paths(folder: Path) -> Paths:
    return Paths(data=folder, run=folder / "run", checkpoint=folder / "checkpoint")


def test_a_stopped_run_goes_on_to_the_weights_of_one_that_never_stopped(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole, halved = _paths(tmp_path / "whole"), _paths(tmp_path / "halved")
        running.train(RECIPE, whole)
        running.train(RECIPE, halved, stop_after_steps=7)
        running.train(RECIPE, halved)
    finally:
        torch.set_num_threads(threads)
    a, b = load_network(whole.checkpoint).state_dict(), load_network(halved.checkpoint).state_dict()
    for name, value in a.items():
        if not name.startswith("fusion."):
            assert torch.equal(value, b[name]), name


def test_a_run_of_another_recipe_is_not_taken_up(tmp_path: Path) -> None:
    running.train(RECIPE, _paths(tmp_path), stop_after_steps=1)
    with pytest.raises(CheckpointError, match="another recipe"):
        running.train(RECIPE.model_copy(update={"seed": 1}), _paths(tmp_path))


def test_training_learns_what_a_line_can_tell(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(
        update={
            "steps": 80,
            "tasks": {
                "tabular/sign": TaskRecipe(weight=1, batch_size=32),
                "timeseries/waves": TaskRecipe(weight=1, batch_size=32),
            },
            "validate_every_steps": 1000,
            "checkpoint_every_steps": 1000,
            "average_decay": 0.9,
        }
    )
    network = load_network(running.train(recipe, _paths(tmp_path)))
    test = TASKS["tabular/sign"].splits["test"]
    with torch.no_grad():
        logits = network("tabular/sign", as_tensors(collate(list(test.samples))))["logits"]
    assert (logits.argmax(dim=1).numpy() == test.targets).mean() > 0.9


def test_a_checkpoint_names_every_head_and_an_embedding_per_modality(tmp_path: Path) -> None:
    running.train(RECIPE, _paths(tmp_path), stop_after_steps=1)
    heads = {head.route for head in read_checkpoint(tmp_path / "checkpoint").heads}
    assert heads == {*TASKS, "tabular/embedding", "timeseries/embedding", "image/embedding"}


def test_heads_settle_on_a_frozen_trunk_that_stays_as_it_was(tmp_path: Path) -> None:
    before = running.train(RECIPE, _paths(tmp_path / "pairs"))
    settling = RECIPE.model_copy(
        update={"start_from": before, "frozen_trunk": True, "cross_attention_drop": 1.0}
    )
    after = running.train(settling, _paths(tmp_path / "heads"))
    a, b = load_network(before).state_dict(), load_network(after).state_dict()
    changed = {name for name in a if not torch.equal(a[name], b[name])}
    assert not {name for name in changed if name.startswith("trunk.")}
    assert {f"heads.{module_name(route)}" for route in TASKS} <= {
        ".".join(name.split(".")[:2]) for name in changed
    }


def test_the_gap_is_measured_on_what_would_ship_and_the_cross_attention_it_was_trained_with(
    tmp_path: Path,
) -> None:
    always = RECIPE.model_copy(update={"cross_attention_drop": 0.0, "single_stream_tail": 0.0})
    checkpoint = running.train(always, paths := _paths(tmp_path))
    saved = fusion_gap.load_run(always, paths.run, paths.data)
    shipped = load_network(checkpoint).state_dict()
    own = saved.network.state_dict()
    fusion = {name for name in own if name.startswith("fusion.")}
    for name in own.keys() - fusion:  # large ones ship in 255 steps
        difference = own[name].float() - shipped[name].float()
        assert difference.norm() <= own[name].float().norm() / 50
    assert float(saved.network.fusion.before_g.alpha.detach()) != pytest.approx(ALPHA_START)
    gaps = {gap.route: gap for gap in fusion_gap.measure_gaps(saved)}
    assert set(gaps) == set(TASKS)
    assert gaps["tabular/double"].difference != 0


def test_a_run_without_trained_heads_has_no_gap(tmp_path: Path) -> None:
    stages = [{"kind": "masked", "steps": 1}]
    pretraining = Recipe.model_validate(
        {**RECIPE.model_dump(), "steps": 0, "stages": stages, "tasks": PRETRAINED}
    )
    running.train(pretraining, paths := _paths(tmp_path))
    with pytest.raises(CheckpointError, match="no heads yet"):
        fusion_gap.load_run(pretraining, paths.run, paths.data)
    with pytest.raises(CheckpointError, match="another recipe"):
        fusion_gap.load_run(RECIPE, paths.run, paths.data)
    with pytest.raises(CheckpointError, match="no readable training state"):
        fusion_gap.load_run(pretraining, tmp_path, paths.data)
