"""``omnivec2 train``: train a network by a recipe and write a checkpoint directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import CheckpointError
from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import continue_from, save_network
from omnivec2.network.trunk import parameters_of
from omnivec2.terminal import make_console
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.distributed.sharding import gather_full_tensors
from omnivec2.training.fine_tuning.layer_rates import train_last_layers
from omnivec2.training.fine_tuning.low_rank import (
    add_low_rank_updates,
    freeze_updated_stacks,
    merged_state,
)
from omnivec2.training.fine_tuning.warm_starts import backbone_sizes, load_local, load_packaged
from omnivec2.training.journal import DEFAULT_LOGS, Journal
from omnivec2.training.loop import StageRun, run_stage, start_stage
from omnivec2.training.masked.masked_stages import MaskedPairStage, MaskedStage
from omnivec2.training.optimisation import freeze_stems
from omnivec2.training.recipe import Recipe, StageKind
from omnivec2.training.runs.epochs import epochs_to_steps
from omnivec2.training.runs.progress_display import PreparingDisplay
from omnivec2.training.runs.resuming import dotted_fields
from omnivec2.training.stage import TrainingStage
from omnivec2.training.structure.fitted_constants import fit_constants
from omnivec2.training.structure.fitted_thresholds import FORMS, fit_thresholds
from omnivec2.training.structure.network_structure import head_specs, network_config
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_state import (
    Progress,
    gather_state,
    load_state,
    recover_progress,
    save_state,
)
from omnivec2.training.validation import averaged_weights

STAGES: dict[StageKind, type[TrainingStage]] = {
    "masked": MaskedStage,
    "masked-pairs": MaskedPairStage,
    "supervised": SupervisedStage,
}
SEED_STRIDE = 7919
"""The distance of the seeds of two stages."""


@dataclass(frozen=True)
class Paths:
    """The directories of a run.

    Attributes:
        data: The directory of data sets.
        run: The directory of training state and log; a run found here is resumed.
        checkpoint: The checkpoint that is written at every saving step and at the end.
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
    logs: Sequence[str] = DEFAULT_LOGS,
) -> Path:
    """Run a recipe to its end, or resume a run that was stopped.

    Args:
        recipe: The recipe to train by.
        paths: The directories to read and write.
        stop_after_steps: The number of steps over all stages after which to stop early; the
            run can be resumed.
        device: The device: ``cpu``, ``cuda``, or ``auto``.
        logs: The kinds of experiment logs, from
            :data:`omnivec2.training.runs.experiment_logs.LOGS`.

    Returns:
        The checkpoint directory.

    Raises:
        ArtifactError: Data is missing, or the run directory belongs to another recipe.
        Interrupted: SIGINT or SIGTERM arrived; the state was saved.
    """
    machine = Machine(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun or accelerate launch started it
        from omnivec2.training.distributed.processes import Processes, ShardedProcesses

        machine = ShardedProcesses(device) if recipe.sharded else Processes(device)
    return Training(recipe, paths, make_console(), machine, logs).run(stop_after_steps)


class Training:
    """A run: its network, its data and its stages in order.

    Args:
        recipe: The recipe to train by.
        paths: The directories to read and write.
        console: The console for progress.
        machine: The device and the processes to compute on.
        logs: The kinds of experiment logs.
    """

    def __init__(
        self,
        recipe: Recipe,
        paths: Paths,
        console: Console,
        machine: Machine,
        logs: Sequence[str] = DEFAULT_LOGS,
    ) -> None:
        self.paths, self.machine = paths, machine
        # Only one of several processes prints and writes files.
        self.console = console if machine.is_main else Console(quiet=True)
        self.logs = logs if machine.is_main else ()
        paths.run.mkdir(parents=True, exist_ok=True)
        self.state = paths.run / "state"
        self.progress = recover_progress(self.state, recipe.model_dump(mode="json"))
        machine.wait_for_all()
        torch.manual_seed(recipe.seed)
        self.tasks: dict[str, TaskData] = {}
        for route in recipe.tasks:
            self.console.print(f"reading {route}")
            block = recipe.tasks[route].block
            with PreparingDisplay(self.console, route) as display:
                self.tasks[route] = load_task(route, paths.data, block=block, progress=display.show)
        self.recipe = recipe = with_steps(recipe, self.tasks, self.console)
        self.header = recipe.model_dump(mode="json")
        self.network, self.warm_starts = build_network(recipe, self.tasks, self.console)
        self.constants = {n for n, p in self.network.named_parameters() if not p.requires_grad}
        self.network.to(machine.device)

    def run(self, stop_after_steps: int | None = None) -> Path:
        """Run the remaining steps of all stages, or up to a number of steps."""
        self.console.print(
            f"{parameters_of(self.network) / 1e6:.1f} M parameters, {len(self.tasks)} tasks, "
            f"{self.recipe.total_steps} steps, {torch.get_num_threads()} threads"
        )
        steps_before = 0
        for index, recipe in enumerate(self.recipe.stage_recipes()):
            last = recipe.steps
            if stop_after_steps is not None:
                last = min(last, stop_after_steps - steps_before)
            resumed = self.progress
            if last > 0 and (resumed is None or resumed.stage <= index):
                self._run_stage(index, recipe, steps_before, last)
            steps_before += recipe.steps
        self.console.print(f"wrote {self.paths.checkpoint}")
        return self.paths.checkpoint

    def _run_stage(self, index: int, recipe: Recipe, steps_before: int, last: int) -> None:
        tasks = {route: self.tasks[route] for route in recipe.routes()}
        freeze_parameters(self.network, recipe, self.constants)
        seed = self.recipe.seed + SEED_STRIDE * index
        stage = STAGES[recipe.kind](self.network, recipe, tasks, seed)
        stage.to(self.machine.device)
        run = start_stage(stage, Progress(stage=index), self.machine)
        if self.progress is not None and self.progress.stage == index:
            run.progress = self.progress
            run.balance.restore(self.progress.balance)
            load_state(self.state, stage, run.average.values, run.optimiser)
            done = steps_before + run.progress.step
            self.console.print(f"resuming at step {done} of {self.recipe.total_steps}")
        name = f"{index + 1}-{recipe.kind}"
        steps = (run.progress.step, last)
        folder = self.paths.run
        if not self.machine.is_main:
            folder = folder / f"process-{self.machine.index}"
            folder.mkdir(exist_ok=True)
        journal = Journal(
            folder, name, self.console, steps_before, steps,
            logs=self.logs, settings=dict(dotted_fields(self.header)),
        )  # fmt: skip
        with journal:
            run_stage(run, last, journal, lambda: self._save(run))
        if steps[0] >= last and not self._has_checkpoint(index):
            # The run was finished before; its checkpoint was removed, or is to be somewhere else.
            self._save(run)
        # The next stage starts from the averaged weights, as they are the ones that ship.
        self.network.load_state_dict(run.average.state(self.network))

    def _save(self, run: StageRun) -> None:
        """Save the state of the run and a checkpoint, without heads before they are trained."""
        stage = run.stage
        state = gather_state(stage, run.average.values, run.optimiser)
        averaged = gather_full_tensors(run.average.state(self.network))
        thresholds = self._fit_thresholds(run)
        if not self.machine.is_main:
            return
        save_state(self.state, state, run.progress, self.header)
        last = run.progress.stage == len(self.recipe.stage_recipes()) - 1
        specs = []
        if stage.trains_heads:
            served = self._trained(run.progress.stage)
            tasks = list(self.tasks.values())
            specs = head_specs(self.network, tasks, served, self.warm_starts, thresholds)
        elif not last:
            return
        averaged = merged_state(self.network, averaged)
        save_network(self.paths.checkpoint, self.network, averaged, specs)

    def _has_checkpoint(self, stage: int) -> bool:
        """Whether a checkpoint lies where it is to be, with the heads that were trained."""
        try:
            heads = read_checkpoint(self.paths.checkpoint).heads
        except CheckpointError:
            return False
        return self._trained(stage) <= {head.route for head in heads}

    def _fit_thresholds(self, run: StageRun) -> dict[str, tuple[float, ...]]:
        """Return the thresholds of the stage's heads that give any number of labels."""
        stage = run.stage
        if not isinstance(stage, SupervisedStage):
            return {}
        # Of an earlier stage's heads, too: their network has changed since.
        served = self._trained(run.progress.stage)
        tasks = [self.tasks[route] for route in served if self.tasks[route].form in FORMS]
        if not tasks:
            return {}
        with averaged_weights(stage, run.average):
            return {task.route: fit_thresholds(self.network, task) for task in tasks}

    def _trained(self, stage: int) -> set[str]:
        """Return the tasks to ship whose heads a supervised stage up to this one trained."""
        done = self.recipe.stage_recipes()[: stage + 1]
        supervised = [recipe for recipe in done if STAGES[recipe.kind].trains_heads]
        trained = {route for recipe in supervised for route in recipe.routes()}
        return {route for route in trained if self.recipe.tasks[route].served}


def with_steps(recipe: Recipe, tasks: Mapping[str, TaskData], console: Console) -> Recipe:
    """Return the recipe with its epochs in steps, and print what they amount to."""
    samplers = {kind: stage.build_sampler for kind, stage in STAGES.items()}
    recipe, epochs = epochs_to_steps(recipe, tasks, samplers)
    for each in epochs:
        console.print(str(each), highlight=False)
    return recipe


def build_network(
    recipe: Recipe, tasks: Mapping[str, TaskData], console: Console | None = None
) -> tuple[OmniVec2, dict[str, str]]:
    """Build the network of a recipe, fit its constants and load its warm starts.

    Args:
        recipe: The recipe.
        tasks: The data of every task, by route.
        console: The console for tables of what warm starts were taken from.

    Returns:
        The network, and the names of its warm starts by the part that started from them.
    """
    network = OmniVec2(config_of(recipe, tasks))
    warm_starts = load_packaged(network, recipe.warm_start)
    fit_constants(network, list(tasks.values()))
    # After the constants, as they set a projection that a backbone brings.
    warm_starts |= load_local(network, recipe.warm_start, console)
    if recipe.start_from is not None:
        continue_from(network, recipe.start_from)
    if recipe.lora is not None:
        add_low_rank_updates(network, recipe.lora)
    return network, warm_starts


def config_of(recipe: Recipe, tasks: Mapping[str, TaskData]) -> NetworkConfig:
    """Return the sizes of a recipe's network.

    Raises:
        ArtifactError: They do not fit together, or the trunk's warm start cannot be read.
    """
    takes_backbone = recipe.network.f == "backbone"
    return network_config(
        recipe.preset,
        list(tasks.values()),
        literal=recipe.literal.trunk,
        plain_fusion=recipe.literal.fusion,
        sizes=recipe.network,
        backbone=backbone_sizes(recipe.warm_start) if takes_backbone else None,
    )


def freeze_parameters(network: OmniVec2, recipe: Recipe, constants: set[str]) -> None:
    """Freeze the weights that a stage does not train, and unfreeze all others.

    Args:
        network: The network.
        recipe: The recipe of the stage.
        constants: The names of parameters that are fitted once and never trained.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in constants)
    freeze_stems(network, recipe.frozen_stem_blocks if recipe.warm_start else 0)
    if recipe.lora is not None:
        freeze_updated_stacks(network)
    if recipe.trained_layers is not None:
        train_last_layers(network, recipe.trained_layers)
    if recipe.frozen_trunk:
        network.trunk.requires_grad_(False)
    if recipe.frozen_tokenizers:
        network.tokenizers.requires_grad_(False)
