"""The three stages as modules: what each trains, weighs and leaves unchanged."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from omnivec2.errors import ArtifactError
from omnivec2.network.fusion import PlainCrossAttention
from omnivec2.spec import TaskFamily
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.loop import start_stage, train_step
from omnivec2.training.masked.masked_stages import MaskedPairStage, MaskedStage
from omnivec2.training.recipe import LiteralSwitches, Recipe, TaskRecipe
from omnivec2.training.stage import TrainingStage
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network, freeze_parameters
from omnivec2.training.training_state import Progress
from tests.support.training import tiny_tasks

TASKS = {task.route: task for task in (tiny_tasks.classification(), tiny_tasks.forecasting())}
RECIPE = Recipe(
    preset="tiny",
    steps=50,
    warmup_steps=1,
    bf16=False,
    warm_start=False,
    tasks={route: TaskRecipe(weight=1, batch_size=4) for route in TASKS},
)


def _stage(kind: type[TrainingStage], recipe: Recipe = RECIPE) -> TrainingStage:
    torch.manual_seed(0)
    network, _ = build_network(recipe, TASKS)
    return kind(network, recipe, TASKS, 0).train()


def _first_batch(stage: TrainingStage):
    return next(stage.sampler().stream(0, 1, {}))


@pytest.mark.parametrize("kind", [MaskedStage, MaskedPairStage])
def test_masked_stages_never_use_labels(kind):
    stage = _stage(kind)
    batch = _first_batch(stage)
    unlabelled = replace(
        batch,
        streams=tuple(replace(s, targets=["no label"] * len(s.targets)) for s in batch.streams),
    )
    with torch.no_grad():
        for (_, with_labels), (_, without) in zip(stage(batch), stage(unlabelled), strict=True):
            assert torch.equal(with_labels, without)


@pytest.mark.parametrize(
    ("kind", "still"),
    [
        (MaskedStage, ("trunk.g", "trunk.f.fc", "trunk.f.norm", "fusion", "heads")),
        (MaskedPairStage, ("heads",)),
        (SupervisedStage, ()),
    ],
)
def test_a_stage_trains_what_it_reaches_and_nothing_else(kind, still):
    stage = _stage(kind)
    run = start_stage(stage, Progress(), Machine("cpu"))
    before = {name: p.detach().clone() for name, p in stage.named_parameters()}
    for batch in stage.sampler().stream(0, 6, {}):
        train_step(run, batch)
    changed = {n for n, p in stage.named_parameters() if not torch.equal(p, before[n])}
    assert not {name for name in changed if name.startswith(tuple(f"network.{s}" for s in still))}
    assert {n for n in changed if n.startswith("network.trunk.f.transformer")}
    assert {n for n in changed if n.startswith("network.tokenizers.timeseries")}
    assert bool(stage.decoders) == any("decoders" in name for name in changed)
    reached = {"MaskedStage": "f", "MaskedPairStage": "g"}.get(kind.__name__, "heads")
    assert any(name.startswith(("network.trunk.g", "network.heads")) for name in changed) == (
        reached != "f"
    )


def test_the_loss_of_every_masked_stage_falls_over_its_steps():
    for kind in (MaskedStage, MaskedPairStage):
        stage = _stage(kind)
        run = start_stage(stage, Progress(), Machine("cpu"))
        # The same few batches again and again, with the same tokens hidden.
        batches = list(stage.sampler().stream(0, 6, {}))
        rounds = [sum(sum(train_step(run, b).values()) for b in batches) for _ in range(8)]
        assert rounds[-1] < 0.9 * rounds[0], kind


def test_a_task_without_labels_is_refused_where_labels_are_needed():
    network, _ = build_network(RECIPE, TASKS)
    silent = replace(TASKS["tabular/sign"], family=TaskFamily.EMBEDDING)
    with pytest.raises(ArtifactError, match="tabular/sign has no labels"):
        SupervisedStage(network, RECIPE, {**TASKS, "tabular/sign": silent}, 0)


def test_weights_of_tasks_multiply_their_losses_but_not_what_is_reported():
    stage = _stage(SupervisedStage)
    run = start_stage(stage, Progress(), Machine("cpu"))
    batch = _first_batch(stage)
    grads = []
    for weight in (1.0, 2.0):
        run.balance.weights = partial(_same_weights, weight)  # type: ignore[method-assign]
        stage.zero_grad()
        losses = stage(batch)
        torch.stack([run.balance.weights()[r] * loss for r, loss in losses]).sum().backward()
        grads.append(stage.network.trunk.f.fc[0].weight.grad.clone())
    assert torch.allclose(grads[1], 2 * grads[0], rtol=1e-4)


def test_each_switch_of_the_papers_wording_has_its_effect():
    literal = LiteralSwitches.model_validate(dict.fromkeys(LiteralSwitches.model_fields, True))
    recipe = RECIPE.model_copy(update={"literal": literal})
    pictures = tiny_tasks.detection()
    tasks = {pictures.route: pictures}
    network, _ = build_network(recipe, tasks)
    stage = MaskedStage(network, recipe, tasks, 0)
    assert stage.network.trunk.f.literal
    assert stage.objective.ratios["image"] == 0.95
    assert isinstance(stage.network.fusion.before_g, PlainCrossAttention)
    supervised = start_stage(_stage(SupervisedStage, recipe), Progress(), Machine("cpu"))
    assert supervised.balance.literal
    assert [len(stream.targets) for stream in _first_batch(supervised.stage).streams] == [2, 2]
    assert start_stage(_stage(SupervisedStage), Progress(), Machine("cpu")).balance.enabled
    assert not start_stage(stage, Progress(), Machine("cpu")).balance.enabled


def test_a_frozen_trunk_of_one_stage_moves_again_in_the_next():
    network, _ = build_network(RECIPE, TASKS)
    fixed = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert any("residual" in name for name in fixed)
    freeze_parameters(network, RECIPE.model_copy(update={"frozen_trunk": True}), fixed)
    assert not any(p.requires_grad for p in network.trunk.parameters())
    freeze_parameters(network, RECIPE, fixed)
    still = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert still == fixed


def _same_weights(weight: float) -> dict[str, float]:
    return dict.fromkeys(TASKS, weight)
