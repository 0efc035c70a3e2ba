"""Batches of training samples: one per stream of a step, and the streams of a step together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnivec2.errors import ArtifactError
from omnivec2.training.losses import LossScale


@dataclass(frozen=True)
class Batch:
    """One stream of a step.

    Attributes:
        route: The ``<modality>/<task>`` of the stream.
        inputs: The tensors (B, ...) by input name.
        targets: One target per sample.
        scale: The divisor of errors in real units.
    """

    route: str
    inputs: dict[str, Tensor]
    targets: list[Any]
    scale: LossScale

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its arrays on a device."""
        inputs = {name: array.to(device, non_blocking=True) for name, array in self.inputs.items()}
        return replace(self, inputs=inputs)

    def take(self, start: int, stop: int) -> Batch:
        """Return the samples ``start`` to ``stop``."""
        scale = self.scale.scale
        if scale is not None and scale.ndim == 2:  # one per sample
            scale = scale[start:stop]
        return Batch(
            self.route,
            {name: array[start:stop] for name, array in self.inputs.items()},
            self.targets[start:stop],
            LossScale(scale),
        )


@dataclass(frozen=True)
class StepBatch:
    """The streams of a step, and how many samples have been drawn of each task.

    Attributes:
        step: The number of the step.
        streams: One batch per stream.
        drawn: The number of samples of each task up to and including this step.
        micro_batch: The number of the micro-batch, where a step is computed in several.
        rows: The range of every stream's samples that this micro-batch holds.
        sizes: The number of samples of every stream of the whole step.
    """

    step: int
    streams: tuple[Batch, ...]
    drawn: Mapping[str, int]
    micro_batch: int = 0
    rows: tuple[tuple[int, int], ...] = ()
    sizes: tuple[int, ...] = ()

    def split(self, count: int) -> list[StepBatch]:
        """Split the step into micro-batches, with an even share of every stream in each.

        Raises:
            ArtifactError: A stream has fewer samples than there are micro-batches.
        """
        sizes = tuple(len(stream.targets) for stream in self.streams)
        if min(sizes) < count:
            raise ArtifactError(
                f"a batch of {min(sizes)} samples cannot be split into {count} micro-batches; "
                "use larger batch sizes, less accumulation or fewer processes"
            )
        micro_batches = []
        for number in range(count):
            rows = tuple((size * number // count, size * (number + 1) // count) for size in sizes)
            streams = tuple(s.take(*own) for s, own in zip(self.streams, rows, strict=True))
            micro_batches.append(
                replace(self, streams=streams, micro_batch=number, rows=rows, sizes=sizes)
            )
        return micro_batches

    def shares(self) -> list[float]:
        """Return the share of every stream of the whole step that this micro-batch holds."""
        return [
            (stop - start) / size for (start, stop), size in zip(self.rows, self.sizes, strict=True)
        ]

    def to(self, device: torch.device) -> StepBatch:
        """Return the batches with their arrays on a device."""
        return replace(self, streams=tuple(stream.to(device) for stream in self.streams))


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Convert named arrays to tensors, copied where numpy's are read-only."""
    return {
        name: torch.from_numpy(array if array.flags.writeable else array.copy())
        for name, array in arrays.items()
    }
