"""``omnivec2 train``: from a recipe and data to a checkpoint directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import continue_from, save_network
from omnivec2.network.trunk import parameters_of
from omnivec2.network.warmstart import warm_start
from omnivec2.terminal import make_console
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.distributed.sharding import whole
from omnivec2.training.journal import Journal
from omnivec2.training.loop import StageRun, run_stage, start_stage
from omnivec2.training.masked.masked_stages import MaskedPairStage, MaskedStage
from omnivec2.training.optimisation import freeze_stems
from omnivec2.training.recipe import Recipe, StageKind
from omnivec2.training.stage import TrainingStage
from omnivec2.training.structure.fitted_constants import fit_constants
from omnivec2.training.structure.network_structure import head_specs, network_config
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_state import (
    Progress,
    load_state,
    read_progress,
    save_state,
    state_of,
)

STAGES: dict[StageKind, type[TrainingStage]] = {
    "masked": MaskedStage,
    "masked-pairs": MaskedPairStage,
    "supervised": SupervisedStage,
}
_SEEDS_APART = 7919


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


def train(
    recipe: Recipe,
    paths: Paths,
    *,
    stop_after_steps: int | None = None,
    device: str = "cpu",
) -> Path:
    """Run a recipe to its end, or resume a run that was stopped.

    Args:
        recipe: what to train, and how.
        paths: where from and to.
        stop_after_steps: stop early, counted over all stages (the run can be resumed).
        device: where to compute: ``cpu``, ``cuda``, or ``auto``.

    Returns:
        the checkpoint directory.

    Raises:
        ArtifactError: data is missing, or the run directory belongs to another recipe.
    """
    machine = Machine(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun or accelerate launch started it
        from omnivec2.training.distributed.processes import Processes, ShardedProcesses

        machine = ShardedProcesses(device) if recipe.sharded else Processes(device)
    return Training(recipe, paths, make_console(), machine).run(stop_after_steps)


class Training:
    """A run: its network and data, and the stages that follow one another.

    Args:
        recipe: what to train, and how.
        paths: where from and to.
        console: where the run tells how it goes.
        machine: where it computes.
    """

    def __init__(self, recipe: Recipe, paths: Paths, console: Console, machine: Machine) -> None:
        self.recipe, self.paths, self.machine = recipe, paths, machine
        # One of several processes speaks and writes.
        self.console = console if machine.main else Console(quiet=True)
        self.header = recipe.model_dump(mode="json")
        paths.run.mkdir(parents=True, exist_ok=True)
        self.state = paths.run / "state"
        self.progress = read_progress(self.state, self.header)
        machine.wait()
        torch.manual_seed(recipe.seed)
        self.tasks: dict[str, TaskData] = {}
        for route in recipe.tasks:
            self.console.print(f"reading {route}")
            self.tasks[route] = load_task(route, paths.data)
        self.network, self.warm_starts = build(recipe, self.tasks)
        self.fixed = {n for n, p in self.network.named_parameters() if not p.requires_grad}
        self.network.to(machine.device)

    def run(self, stop_after_steps: int | None = None) -> Path:
        """All stages from where the run stands, or up to a number of steps."""
        self.console.print(
            f"{parameters_of(self.network) / 1e6:.1f} M parameters, {len(self.tasks)} tasks, "
            f"{self.recipe.total_steps} steps, {torch.get_num_threads()} threads"
        )
        before = 0
        for index, recipe in enumerate(self.recipe.of_stages()):
            most = recipe.steps
            if stop_after_steps is not None:
                most = min(most, stop_after_steps - before)
            resumed = self.progress
            if most > 0 and (resumed is None or resumed.stage <= index):
                self._run_stage(index, recipe, before, most)
            before += recipe.steps
        self.console.print(f"wrote {self.paths.checkpoint}")
        return self.paths.checkpoint

    def _run_stage(self, index: int, recipe: Recipe, before: int, last: int) -> None:
        tasks = {route: self.tasks[route] for route in recipe.routes()}
        freeze(self.network, recipe, self.fixed)
        seed = self.recipe.seed + _SEEDS_APART * index
        stage = STAGES[recipe.kind](self.network, recipe, tasks, seed)
        stage.to(self.machine.device)
        run = start_stage(stage, Progress(stage=index), self.machine)
        if self.progress is not None and self.progress.stage == index:
            run.progress = self.progress
            run.balance.restore(self.progress.balance)
            load_state(self.state, stage, run.average.values, run.optimiser)
            self.console.print(f"resuming at step {before + run.progress.step}")
        name = f"{index + 1}-{recipe.kind}"
        steps = (run.progress.step, last)
        place = self.paths.run
        if not self.machine.main:
            place = place / f"process-{self.machine.index}"
            place.mkdir(exist_ok=True)
        with Journal(place, name, self.console, before, steps) as journal:
            run_stage(run, last, journal, lambda: self._save(run))
        # What is averaged is what the next stage goes on from, as it is what would ship.
        self.network.load_state_dict(run.average.state(self.network))

    def _save(self, run: StageRun) -> None:
        """The state of the run, and a checkpoint: without heads before they are trained."""
        stage = run.stage
        state = state_of(stage, run.average.values, run.optimiser)
        averaged = whole(run.average.state(self.network))
        if not self.machine.main:
            return
        save_state(self.state, state, run.progress, self.header)
        last = run.progress.stage == len(self.recipe.of_stages()) - 1
        specs = []
        if stage.trains_heads:
            served = self._trained(run.progress.stage)
            tasks = list(self.tasks.values())
            specs = head_specs(self.network, tasks, served, self.warm_starts)
        elif not last:
            return
        save_network(self.paths.checkpoint, self.network, averaged, specs)

    def _trained(self, stage: int) -> set[str]:
        """Tasks whose heads a supervised stage up to this one trained, and that are to ship."""
        done = self.recipe.of_stages()[: stage + 1]
        trained = {r for part in done if STAGES[part.kind].trains_heads for r in part.routes()}
        return {route for route in trained if self.recipe.tasks[route].served}


def build(recipe: Recipe, tasks: Mapping[str, TaskData]) -> tuple[OmniVec2, dict[str, str]]:
    """The network of a recipe, its constants fitted and its warm starts loaded."""
    config = network_config(recipe.preset, list(tasks.values()), literal=recipe.literal.trunk)
    network = OmniVec2(config)
    warm_starts = warm_start(network) if recipe.warm_start else {}
    fit_constants(network, list(tasks.values()))
    if recipe.start_from is not None:
        continue_from(network, recipe.start_from)
    return network, warm_starts


def freeze(network: OmniVec2, recipe: Recipe, fixed: set[str]) -> None:
    """Decide which weights a stage trains.

    Args:
        network: the whole one.
        recipe: of the stage.
        fixed: parameters that are fitted once and never trained.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in fixed)
    freeze_stems(network, recipe.frozen_stem_blocks if recipe.warm_start else 0)
    if recipe.frozen_trunk:
        network.trunk.requires_grad_(False)
    if recipe.frozen_tokenizers:
        network.tokenizers.requires_grad_(False)
