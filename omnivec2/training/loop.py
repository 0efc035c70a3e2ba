"""The loop of a stage: batches, losses, one optimiser step, records, saving."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from omnivec2.training.balancing import Balance
from omnivec2.training.journal import Journal
from omnivec2.training.optimisation import (
    WeightAverage,
    clip_part,
    learning_rate,
    parameter_groups,
)
from omnivec2.training.sampling import StepBatch
from omnivec2.training.stage import TrainingStage
from omnivec2.training.state import Progress
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.validation import progress_table, validate

_MEMORY = 0.95
"""Of the smoothed losses that tables show."""


@dataclass
class StageRun:
    """A stage and everything that changes while it runs.

    Attributes:
        stage: gives batches and losses.
        optimiser: AdamW over what the stage trains.
        average: moving average of the network's weights.
        progress: how far it has come.
        balance: weights of the tasks.
    """

    stage: TrainingStage
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    progress: Progress
    balance: Balance


def start_stage(stage: TrainingStage, progress: Progress) -> StageRun:
    """A stage with a fresh optimiser, average and balance."""
    recipe, network = stage.recipe, stage.network
    groups = parameter_groups(network, recipe, stage.decoders)
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    weighs = stage.trains_heads and recipe.balancing == "dwa"
    balance = Balance(stage.tasks, literal=recipe.literal.balancing, enabled=weighs)
    return StageRun(
        stage, optimiser, WeightAverage(network, recipe.average_decay), progress, balance
    )


def train_step(run: StageRun, batch: StepBatch) -> dict[str, float]:
    """One optimiser step; returns every task's loss."""
    stage, recipe = run.stage, run.stage.recipe
    factor = learning_rate(recipe, batch.step)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    losses = stage(batch.to(stage.device))
    weights = run.balance.weights()
    total = torch.stack([weights[route] * loss for route, loss in losses]).sum()
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    if all([clip_part(part, recipe.gradient_clip) for part in stage.parts()]):
        run.optimiser.step()
    run.average.update(stage.network, batch.step)
    return _means([(route, loss.detach()) for route, loss in losses])


def _means(losses: list[tuple[str, Tensor]]) -> dict[str, float]:
    """Loss by route: a task that is paired with itself has two."""
    found = defaultdict(list)
    for route, loss in losses:
        found[route].append(float(loss))
    return {route: sum(values) / len(values) for route, values in found.items()}


def run_stage(run: StageRun, last: int, journal: Journal, save: Callable[[], None]) -> None:
    """The steps from ``progress.step`` to ``last``; ``save`` is called as the recipe says."""
    stage, progress, recipe = run.stage, run.progress, run.stage.recipe
    stage.train()
    for batch in stage.sampler().stream(progress.step, last, progress.drawn):
        losses = train_step(run, batch)
        progress.step, progress.drawn = batch.step + 1, dict(batch.drawn)
        for route, loss in losses.items():
            before = progress.losses.get(route, loss)
            progress.losses[route] = _MEMORY * before + (1 - _MEMORY) * loss
            run.balance.add(route, loss)
        progress.balance = run.balance.state()
        samples: dict[str, int] = defaultdict(int)
        for stream in batch.streams:
            samples[stream.route] += len(stream.targets)
        journal.step(batch.step, losses, samples, _scalars(run, losses))
        done = progress.step == last
        if done or progress.step % recipe.checkpoint_every_steps == 0:
            journal.flush()
            save()
        if done or progress.step % recipe.validate_every_steps == 0:
            scores = validate(stage, run.average) if isinstance(stage, SupervisedStage) else {}
            journal.scores(progress.step, scores)
            title = f"{journal.stage}, step {progress.step}"
            weights = run.balance.weights()
            journal.console.print(progress_table(title, progress, scores, weights))


def _scalars(run: StageRun, losses: dict[str, float]) -> dict[str, float]:
    factor = learning_rate(run.stage.recipe, run.progress.step - 1)
    if not run.balance.enabled:
        return {"rate factor": factor}
    weights = run.balance.weights()
    return {"rate factor": factor, **{f"weight/{route}": weights[route] for route in losses}}
