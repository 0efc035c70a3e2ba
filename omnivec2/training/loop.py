"""The loop of a stage: batches, losses, one optimiser step, records, saving."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from omnivec2.training.balancing import Balance
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.journal import Journal
from omnivec2.training.optimisation import (
    WeightAverage,
    clip_part,
    learning_rate,
    parameter_groups,
)
from omnivec2.training.sampling import StepBatch
from omnivec2.training.stage import TrainingStage
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_state import Progress
from omnivec2.training.validation import progress_table, validate

_MEMORY = 0.95
"""Of the smoothed losses that tables show."""


@dataclass
class StageRun:
    """A stage and everything that changes while it runs.

    Attributes:
        stage: gives batches and losses.
        machine: where it computes.
        module: the stage as it is called: in several processes, what joins their gradients.
        optimiser: AdamW over what the stage trains.
        average: moving average of the network's weights.
        progress: how far it has come.
        balance: weights of the tasks.
    """

    stage: TrainingStage
    machine: Machine
    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    progress: Progress
    balance: Balance


def start_stage(stage: TrainingStage, progress: Progress, machine: Machine) -> StageRun:
    """A stage with a fresh optimiser, average and balance."""
    recipe, network = stage.recipe, stage.network
    machine.shard(network)
    groups = parameter_groups(network, recipe, stage.decoders)
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    module, optimiser = machine.prepare(stage, adamw)
    weighs = stage.trains_heads and recipe.balancing == "dwa"
    balance = Balance(stage.tasks, literal=recipe.literal.balancing, enabled=weighs)
    average = WeightAverage(network, recipe.average_decay)
    return StageRun(stage, machine, module, optimiser, average, progress, balance)


def train_step(run: StageRun, batch: StepBatch) -> dict[str, float]:
    """One optimiser step; returns every task's loss."""
    stage, recipe = run.stage, run.stage.recipe
    factor = learning_rate(recipe, batch.step)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    run.optimiser.zero_grad(set_to_none=True)
    losses = gradients(run, batch)
    if all([clip_part(part, recipe.gradient_clip) for part in stage.parts()]):
        run.optimiser.step()
    run.average.update(stage.network, batch.step)
    return losses


def gradients(run: StageRun, batch: StepBatch) -> dict[str, float]:
    """Gradients of a whole step, part by part and process by process; every task's loss."""
    machine, weights = run.machine, run.balance.weights()
    parts = [batch]
    if (count := machine.processes * run.stage.recipe.accumulation) > 1:
        parts = batch.parts(count)[machine.index :: machine.processes]
    streams = [stream.route for stream in batch.streams]
    losses = dict.fromkeys(streams, 0.0)
    for part in parts:
        with nullcontext() if part is parts[-1] else machine.alone(run.module):
            found = run.module(part.to(machine.device))
            shares = part.shares() or [1.0] * len(found)
            scaled = [
                loss * (weights[route] * share * machine.processes)
                for (route, loss), share in zip(found, shares, strict=True)
            ]
            machine.backward(torch.stack(scaled).sum())
        for (route, loss), share in zip(found, shares, strict=True):
            # A task that is paired with itself has two losses.
            losses[route] += float(loss.detach()) * share / streams.count(route)
    machine.join(run.module)
    return machine.sums(losses)


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
