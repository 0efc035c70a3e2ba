"""One step's gradients in one process, or in every form of a step in a group of processes.

A group is started once, by ``torchrun``, and takes the same step in all forms, one after the other.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from omnivec2.training.distributed.devices import Machine
from omnivec2.training.distributed.processes import Processes, ShardedProcesses
from omnivec2.training.distributed.sharding import gather_full_tensors
from omnivec2.training.loop import compute_gradients, start_stage
from omnivec2.training.recipe import Recipe, TaskRecipe
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network
from omnivec2.training.training_state import Progress
from tests.support.training import tiny_tasks


@dataclass(frozen=True)
class Form:
    """How a step is computed.

    Attributes:
        accumulation: the micro-batches of the step.
        machine: the class of what computes it.
    """

    accumulation: int
    machine: type[Machine]

    @property
    def name(self) -> str:
        """What the form's file is called."""
        return f"{self.machine.__name__}-{self.accumulation}"


ALONE = Form(1, Machine)
TOGETHER = tuple(Form(n, several) for several in (Processes, ShardedProcesses) for n in (1, 2))


def write_gradients(form: Form, folder: Path) -> None:
    """Write every parameter's gradient after one step, in the first process."""
    tasks = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
    recipe = Recipe(
        preset="tiny",
        steps=50,
        bf16=False,
        warm_start=False,
        accumulation=form.accumulation,
        tasks={route: TaskRecipe(weight=1, batch_size=8) for route in tasks},
    )
    torch.manual_seed(0)
    network, _ = build_network(recipe, tasks)
    machine = form.machine("cpu")
    run = start_stage(SupervisedStage(network, recipe, tasks, 0), Progress(), machine)
    batch = next(run.stage.sampler().stream(0, 1, {}))
    losses = compute_gradients(run, batch)
    found = gather_full_tensors(
        {n: p.grad for n, p in run.stage.named_parameters() if p.grad is not None}
    )
    if machine.is_main:
        found |= {f"loss/{r}": torch.tensor(v) for r, v in losses.items()}
        save_file(found, folder / f"{form.name}.safetensors")
    machine.wait_for_all()


def main(folder: Path, forms: tuple[Form, ...]) -> None:
    """Write the gradients of every form."""
    for form in forms:
        write_gradients(form, folder)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), TOGETHER if sys.argv[2] == "together" else (ALONE,))
