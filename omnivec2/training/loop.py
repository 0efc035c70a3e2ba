"""The loop of a stage: batches, losses, optimiser steps, logging, saving."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from omnivec2.training.balancing import Balance
from omnivec2.training.batches import StepBatch
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.journal import Journal
from omnivec2.training.optimisation import (
    WeightAverage,
    clip_gradient,
    learning_rate,
    parameter_groups,
)
from omnivec2.training.runs.interruption import Interrupted, Interruption
from omnivec2.training.stage import TrainingStage
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_state import Progress
from omnivec2.training.validation import progress_table, validate

_LOSS_DECAY = 0.95
"""The decay per step of the smoothed losses that tables show."""


@dataclass
class StageRun:
    """A stage and everything that changes while it runs.

    Attributes:
        stage: The stage, which gives batches and losses.
        machine: The device and the processes it runs on.
        module: The module to call: the stage, or its wrapper that averages gradients (DDP).
        optimiser: The AdamW over the weights that the stage trains.
        average: The moving average of the network's weights.
        progress: The steps and samples done so far.
        balance: The weights of the tasks.
    """

    stage: TrainingStage
    machine: Machine
    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    progress: Progress
    balance: Balance


def start_stage(stage: TrainingStage, progress: Progress, machine: Machine) -> StageRun:
    """Set up a stage with a new optimiser, average and balance."""
    recipe, network = stage.recipe, stage.network
    machine.shard(network)
    groups = parameter_groups(network, recipe, stage.decoders)
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    module, optimiser = machine.prepare(stage, adamw)
    is_balanced = stage.trains_heads and recipe.balancing == "dwa"
    balance = Balance(stage.tasks, literal=recipe.literal.balancing, enabled=is_balanced)
    average = WeightAverage(network, recipe.average_decay)
    return StageRun(stage, machine, module, optimiser, average, progress, balance)


def train_step(run: StageRun, batch: StepBatch) -> dict[str, float]:
    """Take one optimiser step; return every task's loss."""
    stage, recipe = run.stage, run.stage.recipe
    factor = learning_rate(recipe, batch.step)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    run.optimiser.zero_grad(set_to_none=True)
    losses = compute_gradients(run, batch)
    if all([clip_gradient(part, recipe.gradient_clip) for part in stage.clipped_modules()]):
        run.optimiser.step()
    run.average.update(stage.network, batch.step)
    return losses


def compute_gradients(run: StageRun, batch: StepBatch) -> dict[str, float]:
    """Accumulate the gradients of a step over micro-batches and processes.

    Returns:
        The loss of every task, by route.
    """
    machine, weights = run.machine, run.balance.weights()
    micro_batches = [batch]
    if (count := machine.processes * run.stage.recipe.accumulation) > 1:
        micro_batches = batch.split(count)[machine.index :: machine.processes]
    streams = [stream.route for stream in batch.streams]
    losses = dict.fromkeys(streams, 0.0)
    for micro_batch in micro_batches:
        is_last = micro_batch is micro_batches[-1]
        with nullcontext() if is_last else machine.without_gradient_sync(run.module):
            stream_losses = run.module(micro_batch.to(machine.device))
            shares = micro_batch.shares() or [1.0] * len(stream_losses)
            scaled = [
                loss * (weights[route] * share * machine.processes)
                for (route, loss), share in zip(stream_losses, shares, strict=True)
            ]
            machine.backward(torch.stack(scaled).sum())
        for (route, loss), share in zip(stream_losses, shares, strict=True):
            # A task that is paired with itself has two losses.
            losses[route] += float(loss.detach()) * share / streams.count(route)
    machine.finish_gradient_sync(run.module)
    return machine.sum_over_processes(losses)


def run_stage(run: StageRun, last: int, journal: Journal, save: Callable[[], None]) -> None:
    """Run the steps from ``progress.step`` to ``last``, calling ``save`` as the recipe says.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the steps up to then are saved.
    """
    stage, progress, recipe = run.stage, run.progress, run.stage.recipe
    stage.train()
    with Interruption(run.machine.processes) as interruption:
        for batch in stage.sampler().stream(progress.step, last, progress.drawn):
            record_step(run, batch, train_step(run, batch), journal)
            number = _agreed_signal(run.machine, interruption)
            is_done = progress.step == last
            validates = is_done or progress.step % recipe.validate_every_steps == 0
            # Validation takes long and may be interrupted, so that it comes after saving.
            if number or validates or progress.step % recipe.checkpoint_every_steps == 0:
                journal.flush()
                save()
            if number:
                raise Interrupted(number, journal.steps_before + progress.step)
            if validates:
                with interruption.raising():
                    show_validation(run, journal)


def record_step(
    run: StageRun, batch: StepBatch, losses: dict[str, float], journal: Journal
) -> None:
    """Add a finished step to the progress, the balance and the journal."""
    progress = run.progress
    progress.step, progress.drawn = batch.step + 1, dict(batch.drawn)
    for route, loss in losses.items():
        previous = progress.losses.get(route, loss)
        progress.losses[route] = _LOSS_DECAY * previous + (1 - _LOSS_DECAY) * loss
        run.balance.add(route, loss)
    progress.balance = run.balance.state()
    samples: dict[str, int] = defaultdict(int)
    for stream in batch.streams:
        samples[stream.route] += len(stream.targets)
    journal.step(batch.step, losses, samples, _scalars(run, losses))


def show_validation(run: StageRun, journal: Journal) -> None:
    """Measure the averaged weights on the validation splits, and print the table."""
    stage, progress = run.stage, run.progress
    scores = validate(stage, run.average) if isinstance(stage, SupervisedStage) else {}
    journal.scores(progress.step, scores)
    title = f"{journal.stage}, step {progress.step}"
    journal.console.print(progress_table(title, progress, scores, run.balance.weights()))


def _agreed_signal(machine: Machine, interruption: Interruption) -> int:
    """Return the signal after which all processes stop at this step, or 0."""
    number = interruption.number or 0
    if machine.processes == 1:
        return number
    # It may reach one process a step earlier than another, or one alone.
    reached = machine.sum_over_processes({"interrupted": float(number > 0)})["interrupted"]
    return number or (signal.SIGTERM if reached else 0)


def _scalars(run: StageRun, losses: dict[str, float]) -> dict[str, float]:
    factor = learning_rate(run.stage.recipe, run.progress.step - 1)
    if not run.balance.enabled:
        return {"rate factor": factor}
    weights = run.balance.weights()
    return {"rate factor": factor, **{f"weight/{route}": weights[route] for route in losses}}
