"""``omnivec2 ablate``: the same recipe for every variant and seed, measured on the test parts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.preprocess import collate
from omnivec2.training.ablation.ablation_table import ROWS, Cell, Cells, Row
from omnivec2.training.ablation.network_variants import alter, parameters_in_use
from omnivec2.training.batches import as_tensors
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.evaluation.predictions import answers
from omnivec2.training.journal import Journal
from omnivec2.training.loop import run_stage, start_stage
from omnivec2.training.recipe import Recipe
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network, freeze_parameters
from omnivec2.training.training_state import Progress
from omnivec2.training.validation import averaged_weights

_BATCH = 64


@dataclass(frozen=True)
class Ablation:
    """What is trained and measured over and over.

    Attributes:
        recipe: of one network with all tasks.
        tasks: route -> data.
        run: directory of logs.
        console: where progress is shown.
        machine: where it computes.
    """

    recipe: Recipe
    tasks: Mapping[str, TaskData]
    run: Path
    console: Console
    machine: Machine

    def measure(self, row: Row, seed: int, routes: Sequence[str]) -> list[Cell]:
        """Train one network, and measure each of its tasks on the test part."""
        started = time.monotonic()
        tasks = {route: self.tasks[route] for route in routes}
        recipe = self.recipe.model_copy(
            update={
                "seed": seed,
                "steps": max(1, round(self.recipe.steps * len(tasks) / len(self.tasks))),
                "tasks": {route: self.recipe.tasks[route] for route in routes},
            }
        )
        torch.manual_seed(seed)
        network, _ = build_network(recipe, tasks)
        fixed = {n for n, p in network.named_parameters() if not p.requires_grad}
        freeze_parameters(network, recipe, fixed)
        alter(network, row.tokenizers, row.heads)
        stage = SupervisedStage(network, recipe, tasks, seed)
        stage.to(self.machine.device)
        run = start_stage(stage, Progress(), self.machine)
        name = f"{row.name} {seed} {' '.join(routes)}".replace("/", "_")
        self.run.mkdir(parents=True, exist_ok=True)
        with Journal(self.run, name, self.console, 0, (0, recipe.steps)) as journal:
            run_stage(run, recipe.steps, journal, lambda: None)
        with averaged_weights(stage, run.average):
            values = {route: measure(network, tasks[route], self.machine) for route in routes}
        return [
            Cell(
                row=row.name,
                seed=seed,
                route=route,
                metric=tasks[route].metric,
                value=value,
                steps=recipe.steps,
                parameters=parameters_in_use(network),
                seconds=round(time.monotonic() - started, 1),
            )
            for route, value in values.items()
        ]


@torch.no_grad()
def measure(network: OmniVec2, task: TaskData, machine: Machine) -> float:
    """The metric of a task on its test part, single stream, in PyTorch."""
    split = task.splits["test"]
    predicted, wanted = [], []
    for start in range(0, len(split), _BATCH):
        rows = range(start, min(start + _BATCH, len(split)))
        inputs = as_tensors(collate([split.samples[row] for row in rows]))
        outputs = network(task.route, {k: v.to(machine.device) for k, v in inputs.items()})
        arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
        found = answers(task.family, arrays, split, rows)
        predicted += found.predicted
        wanted += found.wanted
    return type(found)(predicted, wanted).measure(task.metric)


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
    """Fill the table: cells that ``out`` has are not measured again.

    Args:
        recipe: one supervised stage of classification tasks; its seed is not used.
        data: the directory of data sets.
        out: JSON file of the cells.
        seeds: networks of every variant.
        run: directory of logs.
        console: where progress is shown.
        device: where to compute: ``cpu``, ``cuda``, or ``auto``.

    Raises:
        ArtifactError: data is missing, or a variant cannot be made of a task.
    """
    cells = Cells(out)
    tasks = {route: load_task(route, data) for route in recipe.tasks}
    ablation = Ablation(recipe, tasks, run, console, Machine(device))
    wanted = [
        (row, seed, routes)
        for seed in range(seeds)
        for row in ROWS
        for routes in row.groups(list(recipe.tasks))
    ]
    for number, (row, seed, routes) in enumerate(wanted, start=1):
        if not cells.has(row.name, seed, routes):
            title = f"network {number} of {len(wanted)}: {row.name}, seed {seed}"
            console.print(f"{title}, {', '.join(routes)}")
            cells.add(ablation.measure(row, seed, routes))
    return cells


def cells_table(cells: Cells) -> Table:
    """For a terminal."""
    table = Table(title="Ablations: mean ± deviation (seeds) on the test parts")
    for column in ("modalities", "tokenizers", "heads", *cells.routes):
        table.add_column(column)
    for line in cells.lines():
        table.add_row(*line)
    return table
