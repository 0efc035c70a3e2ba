"""Several processes that compute every step together, by Accelerate.

``torchrun --nproc-per-node N`` (or ``accelerate launch``) starts them. Each computes its part
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
from omnivec2.training.distributed.sharding import average_kept, own_gradients, shard


class Processes(Machine):
    """One of several processes, on a device of its own."""

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device)
        # A step reaches the tokenizers and heads of its own tasks alone.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # Any: Accelerate's methods carry no types.
        # Told that there is no GPU, or it would not join the processes.
        on_cpu = self.device.type == "cpu"
        self.accelerator: Any = Accelerator(cpu=on_cpu, kwargs_handlers=[unused])
        self.device = self.accelerator.device
        self.processes = self.accelerator.num_processes
        self.index = self.accelerator.process_index

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The module in DDP, and the optimiser as it is: it steps the same parameters."""
        prepared: nn.Module = self.accelerator.prepare_model(module)
        return prepared, optimiser

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over the processes unless inside :meth:`alone`."""
        self.accelerator.backward(loss)

    def alone(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients stay this process's own."""
        context: AbstractContextManager[Any] = self.accelerator.no_sync(module)
        return context

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over the processes; every process must name the same values."""
        own = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        total = self.accelerator.reduce(own, reduction="sum")
        return dict(zip(values, total.tolist(), strict=True))

    def wait(self) -> None:
        """Until every process is here."""
        self.accelerator.wait_for_everyone()


class ShardedProcesses(Processes):
    """Processes that share the weights of the transformers between them."""

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device)
        self.mesh = init_device_mesh(self.device.type, (self.processes,))

    def shard(self, module: nn.Module) -> None:
        """Spread the layers of its transformers over the processes."""
        shard(module, self.mesh)

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Both as they are: the layers join their own gradients."""
        return module, optimiser

    def alone(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients stay this process's own."""
        return own_gradients(module)

    def join(self, module: nn.Module) -> None:
        """Average the gradients of what is not sharded."""
        average_kept(module, self.processes)
