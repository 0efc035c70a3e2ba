"""Every form of targets: its loss falls in a tiny network, and perfect answers score best."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logit
from torch import nn

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import collate
from omnivec2.training.balancing import Balance
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.predictions import read_answers
from omnivec2.training.loop import start_stage, train_step
from omnivec2.training.recipe import LearningRates, Recipe, TaskRecipe
from omnivec2.training.sampling import order_in_runs
from omnivec2.training.structure.fitted_thresholds import best_threshold, fit_thresholds
from omnivec2.training.structure.network_structure import head_specs
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network
from omnivec2.training.training_state import Progress
from tests.support.training import family_tasks

TASKS = {
    "multi-label": family_tasks.multi_label,
    "two values": family_tasks.two_values,
    "series classes": family_tasks.series_classes,
    "anomaly": family_tasks.anomaly,
    "quantiles": family_tasks.quantiles,
    "depth map": family_tasks.depth_map,
    "scale-invariant depth": lambda: family_tasks.depth_map(loss="scale-invariant"),
    "points": family_tasks.points,
    "identities": family_tasks.identities,
    "triplets": lambda: family_tasks.identities(loss="triplet"),
}
STEPS = 25
FEW = {"depth map", "scale-invariant depth", "points"}
"""Forms whose tokenizers are slow: they take fewer and smaller steps."""


def train(
    task: TaskData, steps: int = STEPS, batch_size: int = 32
) -> tuple[nn.Module, list[float]]:
    """Return a tiny network in evaluation mode after some steps, and the loss of each step."""
    recipe = Recipe(
        preset="tiny",
        steps=steps,
        warmup_steps=1,
        warm_start=False,
        bf16=False,
        balancing="none",
        learning_rates=LearningRates(trunk=1e-3, fresh=3e-3),
        tasks={task.route: TaskRecipe(weight=1, batch_size=batch_size)},
    )
    torch.manual_seed(0)
    network, _ = build_network(recipe, {task.route: task})
    stage = SupervisedStage(network, recipe, {task.route: task}, seed=0)
    run = start_stage(stage, Progress(stage=0), Machine("cpu"))
    assert isinstance(run.balance, Balance)
    stage.train()
    losses = [train_step(run, batch)[task.route] for batch in stage.sampler().stream(0, steps, {})]
    return network.eval(), losses


def answers_of(network: nn.Module, task: TaskData, thresholds: tuple[float, ...] = ()):
    split = task.splits["test"]
    with torch.inference_mode():
        outputs = network(task.route, as_tensors(collate(list(split.samples))))
    arrays = {name: value.numpy() for name, value in outputs.items()}
    return read_answers(task, arrays, split, range(len(split)), thresholds=thresholds)


@pytest.mark.parametrize("name", TASKS)
def test_the_loss_of_every_form_falls_and_its_head_fits_its_spec(name):
    task = TASKS[name]()
    network, losses = train(task, 10, 8) if name in FEW else train(task)
    assert np.isfinite(losses).all()
    first, last = np.mean(losses[:3]), np.mean(losses[-3:])
    assert last < 0.9 * first
    spec = next(s for s in head_specs(network, [task], {task.route}, {}) if s.route == task.route)
    with torch.inference_mode():
        inputs = as_tensors(collate(list(task.splits["test"].samples[:3])))
        outputs = network(task.route, inputs)
    assert {n: tuple(o.shape[1:]) for n, o in outputs.items()} == {
        tensor.name: tensor.shape for tensor in spec.outputs
    }


PERFECT = {
    "multi-label": ("map", "f1_macro", "f1_micro", "mean_auc"),
    "two values": (),
    "series classes": ("accuracy", "average_accuracy", "top5", "f1", "f1_macro"),
    "anomaly": ("map", "f1_micro", "mean_auc"),
    "quantiles": ("coverage",),
    "depth map": ("delta1",),
    "points": ("miou",),
    "identities": ("recall@1", "recall@10", "search_map"),
}
NO_ERROR = {"two values": ("mae", "rmse"), "quantiles": ("mse", "mae", "pinball", "rmse"),
            "depth map": ("abs_rel", "rmse", "mae")}  # fmt: skip


def perfect_outputs(name: str, task: TaskData) -> dict[str, np.ndarray]:
    split = task.splits["test"]
    targets = list(split.targets)
    if name in ("multi-label", "anomaly"):
        return {"logits": np.stack(targets) * 8.0 - 4.0}
    if name == "series classes":
        return {"logits": np.eye(2)[np.asarray(targets)]}
    if name == "quantiles":
        return {"mean": np.stack(targets), "quantiles": np.stack([np.stack(targets)] * 3, axis=1)}
    if name == "depth map":
        return {"values": np.nan_to_num(np.stack(targets), nan=1.0)}
    if name == "points":
        best = [t.counts(16, 2) for t in targets]
        return {"logits": np.stack(best)}
    if name == "identities":
        return {"embedding": np.eye(8)[np.asarray(targets)] * 3}
    return {"values": np.stack(targets)}


@pytest.mark.parametrize("name", PERFECT)
def test_perfect_answers_have_the_best_figures(name):
    task = TASKS[name]()
    if name == "points":  # a group has one answer: let all its points be of one half
        split = task.splits["test"]
        for target in split.targets:
            halves = target.counts(16, 2).argmax(axis=1).astype(np.uint8)
            target.labels[:] = halves[target.assignment]
    split = task.splits["test"]
    answers = read_answers(task, perfect_outputs(name, task), split, range(len(split)))
    assert {metric: answers.measure(metric) for metric in PERFECT[name]} == dict.fromkeys(
        PERFECT[name], pytest.approx(1.0)
    )
    assert {m: answers.measure(m) for m in NO_ERROR.get(name, ())} == dict.fromkeys(
        NO_ERROR.get(name, ()), pytest.approx(0.0, abs=1e-6)
    )


def test_noise_among_waves_is_answered_as_an_anomaly_by_the_fitted_threshold():
    task = family_tasks.anomaly()
    network, _ = train(task, steps=120)
    thresholds = fit_thresholds(network, task)
    measured = answers_of(network, task, thresholds)
    assert measured.measure("map") > 0.9
    assert measured.measure("f1_micro") > 0.85


def test_thresholds_are_fitted_for_each_label():
    task = family_tasks.multi_label()
    network, _ = train(task, steps=60)
    thresholds = fit_thresholds(network, task)
    assert len(thresholds) == 2
    assert answers_of(network, task, thresholds).measure("f1_macro") > 0.9


def test_the_best_threshold_lies_between_the_scores_that_it_separates():
    assert best_threshold([0.1, 0.2, 0.6, 0.7], [False, False, True, True]) == pytest.approx(0.4)


def test_quantiles_of_a_network_never_cross_and_hold_their_share():
    task = family_tasks.quantiles()
    network, _ = train(task)
    split = task.splits["test"]
    with torch.inference_mode():
        outputs = network(task.route, as_tensors(collate(list(split.samples))))
    assert (outputs["quantiles"].diff(dim=1) > 0).all()
    assert 0.6 < answers_of(network, task).measure("coverage") <= 0.95


def test_samples_of_an_identity_follow_each_other_in_an_epoch():
    identities = np.array([0, 1, 2] * 5 + [3])
    order = order_in_runs(identities, np.random.default_rng(0))
    assert sorted(order) == list(range(16))
    numbers = identities[order]
    partners = sum(
        numbers[i] in (numbers[i - 1 : i].tolist() + numbers[i + 1 : i + 2].tolist())
        for i in range(16)
    )
    assert partners == 15  # the only sample of its identity has none


def test_queries_are_looked_for_among_the_others_alone():
    task = family_tasks.identities(count=4)
    split = task.splits["test"]
    searched = type(split)(
        split.samples, np.array([0, 0, 1, 1]), queries=np.array([1, 0, 0, 0]) > 0
    )
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.8, 0.2]])
    answers = read_answers(task, {"embedding": vectors}, searched, range(4))
    assert answers.measure("recall@1") == 0.0
    assert answers.measure("search_map") == pytest.approx(1 / 3)


def test_thresholds_move_what_counts_as_an_answer():
    task = family_tasks.multi_label(count=4)
    split = task.splits["test"]
    targets = np.asarray(split.targets)
    outputs = {"logits": logit(np.where(targets == 1, 0.4, 0.2))}
    plain = read_answers(task, outputs, split, range(4))
    fitted = read_answers(task, outputs, split, range(4), thresholds=(0.3, 0.3))
    assert plain.measure("f1_micro") == 0.0
    assert fitted.measure("f1_micro") == 1.0


def test_a_loss_that_the_family_has_not_is_refused_with_those_it_has():
    task = family_tasks.identities(loss="hinge")
    with pytest.raises(ArtifactError, match="no loss 'hinge'; there is contrastive, triplet"):
        train(task, steps=1)
