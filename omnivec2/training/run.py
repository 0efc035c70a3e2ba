"""``omnivec2 train``: from a recipe and data to a checkpoint directory."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from omnivec2.network.load import continue_from, save_network
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.trunk import parameters_of
from omnivec2.network.warmstart import warm_start
from omnivec2.preprocess import collate
from omnivec2.spec import TaskFamily
from omnivec2.terminal import make_console
from omnivec2.training.constants import fit_constants
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.losses import LOSSES, LossScale
from omnivec2.training.recipe import Recipe
from omnivec2.training.sampling import PairSampler, tensors
from omnivec2.training.specs import head_specs, network_config
from omnivec2.training.state import Progress as RunProgress
from omnivec2.training.state import load_state, save_state
from omnivec2.training.supervised import (
    WeightAverage,
    freeze_stems,
    pair_step,
    parameter_groups,
    smoothed,
)


@dataclass(frozen=True)
class Paths:
    """Where a run reads and writes.

    Attributes:
        data: the directory of data sets.
        run: training state and log; a run found here is resumed.
        checkpoint: what is written at the end (and at every saving step): serves.
    """

    data: Path
    run: Path
    checkpoint: Path


def train(recipe: Recipe, paths: Paths, *, stop_after_steps: int | None = None) -> Path:
    """Run a recipe to its end, or resume a run that was stopped.

    Args:
        recipe: what to train, and how.
        paths: where from and to.
        stop_after_steps: stop early (the run can be resumed), for tests and probes.

    Returns:
        the checkpoint directory.

    Raises:
        ArtifactError: data is missing, or the run directory belongs to another recipe.
    """
    console = make_console()
    torch.manual_seed(recipe.seed)
    tasks = {}
    for route in recipe.tasks:
        console.print(f"reading {route}")
        tasks[route] = load_task(route, paths.data)
    network, warm_starts = build(recipe, tasks)
    console.print(
        f"{parameters_of(network) / 1e6:.1f} M parameters, {len(tasks)} tasks, "
        f"{recipe.steps} steps, {torch.get_num_threads()} threads"
    )
    optimiser = torch.optim.AdamW(parameter_groups(network, recipe), betas=(0.9, 0.98), fused=True)
    average = WeightAverage(network, recipe.average_decay)
    progress = RunProgress(0, {}, {})
    header = recipe.model_dump(mode="json")
    paths.run.mkdir(parents=True, exist_ok=True)
    state = paths.run / "state"
    if state.exists():
        progress = load_state(state, network, average.values, optimiser, header)
        console.print(f"resuming at step {progress.step}")
    last = min(recipe.steps, stop_after_steps or recipe.steps)
    served = {route for route, task in recipe.tasks.items() if task.served}

    def save() -> None:
        save_state(state, network, average.values, optimiser, progress, header)
        specs = head_specs(network, list(tasks.values()), served, warm_starts)
        shipped = average.state(network)
        save_network(paths.checkpoint, network, shipped, specs)

    loop(network, optimiser, average, progress, recipe, tasks, last, paths.run, save)
    console.print(f"wrote {paths.checkpoint}")
    return paths.checkpoint


def build(recipe: Recipe, tasks: Mapping[str, TaskData]) -> tuple[OmniVec2, dict[str, str]]:
    """The network of a recipe, its constants fitted and its warm starts loaded."""
    network = OmniVec2(network_config(recipe.preset, list(tasks.values())))
    warm_starts = warm_start(network) if recipe.warm_start else {}
    fit_constants(network, list(tasks.values()))
    if recipe.start_from is not None:
        continue_from(network, recipe.start_from)
    freeze_stems(network, recipe.frozen_stem_blocks if recipe.warm_start else 0)
    network.trunk.requires_grad_(not recipe.frozen_trunk)
    return network, warm_starts


def loop(
    network: OmniVec2,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage,
    progress: RunProgress,
    recipe: Recipe,
    tasks: Mapping[str, TaskData],
    last: int,
    run: Path,
    save: object,
) -> None:
    """The steps from ``progress.step`` to ``last``, with a progress bar and a log."""
    assert callable(save)
    sampler = PairSampler(
        tasks,
        {route: task.weight for route, task in recipe.tasks.items()},
        {route: task.batch_size for route, task in recipe.tasks.items()},
        recipe.seed,
        _target_scales(tasks),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
    network.train()
    started = time.monotonic()
    log = (run / "log.jsonl").open("a", buffering=1)
    with Progress(*columns) as bar, log:
        shown = bar.add_task("train", total=last, completed=progress.step, note="")
        for batch in sampler.stream(progress.step, last, progress.drawn):
            result = pair_step(network, optimiser, batch, recipe)
            average.update(network, batch.step)
            progress.step, progress.drawn = batch.step + 1, dict(batch.drawn)
            progress.losses.update(smoothed(progress.losses, result))
            seconds = time.monotonic() - started
            row = {"step": batch.step, "seconds": round(seconds, 2), **result.losses}
            log.write(json.dumps(row) + "\n")
            note = " ".join(f"{r} {loss:.3f}" for r, loss in result.losses.items())
            bar.update(shown, completed=progress.step, note=note)
            done = progress.step == last
            if done or progress.step % recipe.checkpoint_every_steps == 0:
                log.flush()
                save()
            if done or progress.step % recipe.validate_every_steps == 0:
                scores = validate(network, average, recipe, tasks)
                bar.console.print(validation_table(progress, scores))


def _target_scales(tasks: Mapping[str, TaskData]) -> dict[str, Tensor]:
    return {
        route: torch.as_tensor(np.stack(list(task.splits["train"].targets)).std(axis=0))
        for route, task in tasks.items()
        if task.family is TaskFamily.REGRESSION
    }


@torch.no_grad()
def validate(
    network: OmniVec2, average: WeightAverage, recipe: Recipe, tasks: Mapping[str, TaskData]
) -> dict[str, dict[str, float]]:
    """Loss, and accuracy where classes are told apart, of averaged weights on ``val`` parts."""
    present = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(average.state(network))
    network.eval()
    scales = _target_scales(tasks)
    scores: dict[str, dict[str, float]] = {}
    for route, task in tasks.items():
        split = task.splits["val"]
        chosen = np.linspace(0, len(split) - 1, min(len(split), recipe.validation_samples))
        losses, right, seen = [], 0, 0
        for start in range(0, len(chosen), 32):
            rows = [int(i) for i in chosen[start : start + 32]]
            inputs = tensors(collate([split.samples[i] for i in rows]))
            targets = [split.targets[i] for i in rows]
            scale = LossScale(scales.get(route))
            if split.scales is not None:
                scale = LossScale(torch.as_tensor(np.asarray(split.scales)[rows])[:, None])
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                outputs = network(route, inputs)
            losses.append(float(LOSSES[task.family](outputs, targets, scale)) * len(rows))
            seen += len(rows)
            if "logits" in outputs and outputs["logits"].ndim == 2:
                guess = outputs["logits"].argmax(dim=1).numpy()
                right += int((guess == np.asarray(targets)).sum())
        scores[route] = {"loss": sum(losses) / seen}
        if task.labels and task.family is not TaskFamily.DETECTION:
            scores[route]["accuracy"] = right / seen
    network.load_state_dict(present)
    network.train()
    return scores


def validation_table(progress: RunProgress, scores: Mapping[str, Mapping[str, float]]) -> Table:
    """Every task's training loss, validation loss and accuracy."""
    table = Table(title=f"step {progress.step}")
    for column in ("task", "samples seen", "train loss", "val loss", "val accuracy"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for route, score in scores.items():
        accuracy = f"{score['accuracy']:.3f}" if score.get("accuracy") else ""
        table.add_row(route, f"{progress.drawn.get(route, 0):,}",
                      f"{progress.losses.get(route, float('nan')):.3f}",
                      f"{score['loss']:.3f}", accuracy)  # fmt: skip
    return table
