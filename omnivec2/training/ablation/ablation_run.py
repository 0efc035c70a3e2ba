"""``omnivec2 ablate``: train every variant and seed by one recipe, and measure on test splits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from omnivec2.errors import ArtifactError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.preprocess import collate
from omnivec2.training.ablation.ablation_table import ROWS, Cell, Cells, Row
from omnivec2.training.ablation.network_variants import make_variant, parameters_in_use
from omnivec2.training.batches import as_tensors
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.predictions import Answers, read_answers
from omnivec2.training.journal import Journal
from omnivec2.training.loop import StageRun, run_stage, start_stage
from omnivec2.training.masked.masked_stages import MaskedStage
from omnivec2.training.recipe import Recipe
from omnivec2.training.stage import TrainingStage
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import (
    SEED_STRIDE,
    build_network,
    freeze_parameters,
    with_steps,
)
from omnivec2.training.training_state import Progress
from omnivec2.training.validation import averaged_weights

_BATCH = 64


@dataclass(frozen=True)
class Ablation:
    """The settings shared by all networks of the table.

    Attributes:
        recipe: The recipe of one network with all tasks.
        tasks: The data of every task, by route.
        run: The directory of logs.
        console: The console for progress.
        machine: The device and the processes to compute on.
    """

    recipe: Recipe
    tasks: Mapping[str, TaskData]
    run: Path
    console: Console
    machine: Machine

    def train_and_measure(self, row: Row, seed: int, routes: Sequence[str]) -> list[Cell]:
        """Train one network, and measure each of its tasks on the test split.

        Args:
            row: The variant.
            seed: The seed of the network and its training.
            routes: The tasks of the network.
        """
        started = time.monotonic()
        tasks = {route: self.tasks[route] for route in routes}
        stages = [self._with_share(stage, seed, routes) for stage in row.stages(self.recipe)]
        recipe = stages[-1]
        torch.manual_seed(seed)
        network, _ = build_network(recipe, tasks)
        constants = {n for n, p in network.named_parameters() if not p.requires_grad}
        freeze_parameters(network, recipe, constants)
        make_variant(network, row.tokenizers, row.heads)
        name = f"{row.name} {seed} {' '.join(routes)}".replace("/", "_")
        self.run.mkdir(parents=True, exist_ok=True)
        for index, pretraining in enumerate(stages[:-1]):
            masked = MaskedStage(network, pretraining, tasks, seed + SEED_STRIDE * (index + 1))
            run = self._run_stage(masked, f"{name} masked")
            network.load_state_dict(run.average.state(network))
        stage = SupervisedStage(network, recipe, tasks, seed)
        run = self._run_stage(stage, name)
        with averaged_weights(stage, run.average):
            values = {route: measure_task(network, tasks[route], self.machine) for route in routes}
        return [
            Cell(
                row=row.name,
                seed=seed,
                route=route,
                metric=tasks[route].metric,
                value=value,
                steps=sum(stage.steps for stage in stages),
                parameters=parameters_in_use(network),
                seconds=round(time.monotonic() - started, 1),
            )
            for route, value in values.items()
        ]

    def _run_stage(self, stage: TrainingStage, name: str) -> StageRun:
        stage.to(self.machine.device)
        run, steps = start_stage(stage, Progress(), self.machine), stage.recipe.steps
        with Journal(self.run, name, self.console, 0, (0, steps)) as journal:
            run_stage(run, steps, journal, lambda: None)
        return run

    def _with_share(self, recipe: Recipe, seed: int, routes: Sequence[str]) -> Recipe:
        """Return the recipe of a stage for some of the tasks, with their share of the steps."""
        share = len(routes) / len(self.tasks)
        return recipe.model_copy(
            update={
                "seed": seed,
                "steps": max(1, round(recipe.steps * share)),
                "tasks": {route: self.recipe.tasks[route] for route in routes},
            }
        )


@torch.no_grad()
def measure_task(network: OmniVec2, task: TaskData, machine: Machine) -> float:
    """Measure a task's metric on its test split, single stream, in PyTorch."""
    split = task.splits["test"]
    answers = Answers([], [])
    for start in range(0, len(split), _BATCH):
        rows = range(start, min(start + _BATCH, len(split)))
        inputs = as_tensors(collate([split.samples[row] for row in rows]))
        outputs = network(task.route, {k: v.to(machine.device) for k, v in inputs.items()})
        arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
        answers.extend(read_answers(task, arrays, split, rows))
    return answers.measure(task.metric)


def ablate(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seeds: int,
    run: Path,
    console: Console,
    device: str = "cpu",
) -> Cells:
    """Measure all cells of the table that ``out`` does not hold yet.

    Args:
        recipe: The recipe: one supervised stage of classification tasks, with masked stages
            before it for the rows that start as an autoencoder; its seed is not used.
        data: The directory of data sets.
        out: The JSON file of the cells.
        seeds: The number of networks of every variant.
        run: The directory of logs.
        console: The console for progress.
        device: The device: ``cpu``, ``cuda``, or ``auto``.

    Raises:
        ArtifactError: Data is missing, the stages are others, or a variant is not possible for
            a task.
    """
    cells = Cells(out)
    _require_stages(recipe)
    tasks = {
        route: load_task(route, data, block=task.block) for route, task in recipe.tasks.items()
    }
    recipe = with_steps(recipe, tasks, console)
    ablation = Ablation(recipe, tasks, run, console, Machine(device))
    networks = [
        (row, seed, routes)
        for seed in range(seeds)
        for row in ROWS
        for routes in row.groups(list(recipe.tasks))
        if row.is_possible(recipe)
    ]
    for number, (row, seed, routes) in enumerate(networks, start=1):
        if not cells.has(row.name, seed, routes):
            title = f"network {number} of {len(networks)}: {row.name}, seed {seed}"
            console.print(f"{title}, {', '.join(routes)}")
            cells.add(ablation.train_and_measure(row, seed, routes))
    return cells


def _require_stages(recipe: Recipe) -> None:
    """Raise unless a recipe ends in its one supervised stage."""
    kinds = [stage.kind for stage in recipe.stage_recipes()]
    if kinds[-1] != "supervised" or any(kind != "masked" for kind in kinds[:-1]):
        raise ArtifactError(
            f"an ablation has masked stages, if any, and then a supervised one, not "
            f"{', '.join(kinds)}"
        )


def cells_table(cells: Cells) -> Table:
    """Render the cells for a terminal."""
    table = Table(title="Ablations: mean ± standard deviation (seeds) on the test splits")
    for column in ("modalities", "tokenizers", "heads", *cells.routes):
        table.add_column(column)
    for line in cells.lines():
        table.add_row(*line)
    return table
