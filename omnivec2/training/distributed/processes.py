"""Several processes that compute every step together, with Accelerate.

``torchrun --nproc-per-node N`` (or ``accelerate launch``) starts them. Each computes its share
of every batch, gradients are averaged (DDP; gloo on CPUs), and all take the same step. Networks
that one device cannot hold are sharded instead (FSDP).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate.accelerator import Accelerator
from accelerate.utils.dataclasses import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from omnivec2.training.distributed.devices import Machine
from omnivec2.training.distributed.sharding import (
    average_replicated_gradients,
    shard,
    without_gradient_sync,
)


class Processes(Machine):
    """One of several processes, on a device of its own."""

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device)
        # A step uses the tokenizers and heads of its own tasks alone.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # Any: Accelerate's methods carry no types.
        # With cpu=False and no GPU, Accelerate would not join the processes.
        on_cpu = self.device.type == "cpu"
        self.accelerator: Any = Accelerator(cpu=on_cpu, kwargs_handlers=[unused])
        self.device = self.accelerator.device
        self.processes = self.accelerator.num_processes
        self.index = self.accelerator.process_index

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Wrap the module in DDP; return the optimiser unchanged, as parameters are the same."""
        prepared: nn.Module = self.accelerator.prepare_model(module)
        return prepared, optimiser

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over processes unless :meth:`without_gradient_sync`."""
        self.accelerator.backward(loss)

    def without_gradient_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Return a context in which gradients stay local."""
        context: AbstractContextManager[Any] = self.accelerator.no_sync(module)
        return context

    def sum_over_processes(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum values over the processes; every process must pass the same names."""
        own = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        total = self.accelerator.reduce(own, reduction="sum")
        return dict(zip(values, total.tolist(), strict=True))

    def wait_for_all(self) -> None:
        """Wait until every process has arrived."""
        self.accelerator.wait_for_everyone()


class ShardedProcesses(Processes):
    """Several processes with the weights of the transformers sharded between them."""

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device)
        self.mesh = init_device_mesh(self.device.type, (self.processes,))

    def shard(self, module: nn.Module) -> None:
        """Shard the transformer layers over the processes."""
        shard(module, self.mesh)

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return both unchanged: sharded layers reduce their own gradients."""
        return module, optimiser

    def without_gradient_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Return a context in which gradients stay local."""
        return without_gradient_sync(module)

    def finish_gradient_sync(self, module: nn.Module) -> None:
        """Average the gradients of weights that are not sharded."""
        average_replicated_gradients(module, self.processes)
