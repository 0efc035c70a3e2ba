"""The device of a run, and how the gradients of its processes are combined."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class Machine:
    """One process on one device.

    Args:
        device: The device: ``cpu``, ``cuda`` or ``auto`` (a GPU if there is one).

    Attributes:
        processes: The number of processes that compute a step together.
        index: The rank of this process.
    """

    def __init__(self, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.processes, self.index = 1, 0

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints and writes files."""
        return self.index == 0

    def shard(self, module: nn.Module) -> None:
        """Shard weights over the processes if required, before an optimiser is built on them."""
        del module

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the module to call, and the optimiser that steps it."""
        return module, optimiser

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over processes unless :meth:`without_gradient_sync`."""
        loss.backward()  # type: ignore[no-untyped-call]

    def without_gradient_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Return a context in which gradients stay local: for all micro-batches but the last."""
        del module
        return nullcontext()

    def finish_gradient_sync(self, module: nn.Module) -> None:
        """Average remaining gradients over the processes, after the last micro-batch of a step."""
        del module

    def sum_over_processes(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum values over the processes; every process must pass the same names."""
        return dict(values)

    def wait_for_all(self) -> None:
        """Wait until every process has arrived."""
