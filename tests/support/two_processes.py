"""One step's gradients in every process of a group: run by ``torchrun``, twice."""

from __future__ import annotations

import sys
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
from tests.support import tiny_tasks


def main(out: Path, accumulation: int, processes: int, sharded: bool) -> None:
    """Write every parameter's gradient after one step, in the first process."""
    tasks = {t.route: t for t in (tiny_tasks.classification(), tiny_tasks.forecasting())}
    recipe = Recipe(
        preset="tiny",
        steps=50,
        bf16=False,
        warm_start=False,
        accumulation=accumulation,
        tasks={route: TaskRecipe(weight=1, batch_size=8) for route in tasks},
    )
    torch.manual_seed(0)
    network, _ = build_network(recipe, tasks)
    several = ShardedProcesses if sharded else Processes
    machine = several("cpu") if processes > 1 else Machine("cpu")
    run = start_stage(SupervisedStage(network, recipe, tasks, 0), Progress(), machine)
    batch = next(run.stage.sampler().stream(0, 1, {}))
    losses = compute_gradients(run, batch)
    found = gather_full_tensors(
        {n: p.grad for n, p in run.stage.named_parameters() if p.grad is not None}
    )
    if machine.is_main:
        save_file(found | {f"loss/{r}": torch.tensor(v) for r, v in losses.items()}, out)
    machine.wait_for_all()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "sharded")
