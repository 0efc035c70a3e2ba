"""Where a run computes: its device, and how a step's gradients come together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class Machine:
    """One process on one device.

    Args:
        device: ``cpu``, ``cuda`` or ``auto`` (a GPU if there is one).

    Attributes:
        processes: how many compute a step together.
        index: which of them this is.
    """

    def __init__(self, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.processes, self.index = 1, 0

    @property
    def main(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.index == 0

    def shard(self, module: nn.Module) -> None:
        """Spread weights over the processes, if they are to be; before an optimiser sees them."""
        del module

    def prepare(
        self, module: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The module as it is to be called, and the optimiser that steps it."""
        return module, optimiser

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over the processes unless inside :meth:`alone`."""
        loss.backward()  # type: ignore[no-untyped-call]

    def alone(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients stay this process's own: for all parts of a step but the last."""
        del module
        return nullcontext()

    def join(self, module: nn.Module) -> None:
        """After the last part of a step: what else gradients need to be those of all processes."""
        del module

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over the processes; every process must name the same values."""
        return dict(values)

    def wait(self) -> None:
        """Until every process is here."""
