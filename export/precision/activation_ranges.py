"""The range of a layer's activations, and how int8's 255 steps are spread over it.

BERT's largest activations are those of one or two channels of one token: 30 where all others
stay below 5, which would cost all others two or three of eight bits. So the largest channels are
split into equal parts, each with the same column of weights: the same sum, in a smaller range
(outlier channel splitting, Zhao et al., 2019, arXiv:1901.09504).
"""

from __future__ import annotations

import heapq

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from omnivec2.arrays import Array

EXTRA_COLUMNS = 16
"""The columns that the copies of large channels may add to a layer's input."""
WORTH_SPLITTING = 1.5
"""The factor by which splitting must narrow a range; the copies take time as well."""
_SMALLEST = 1e-6


class ActivationRange(BaseModel):
    """The range of a layer's input over calibration samples.

    Attributes:
        largest: The largest absolute value, after the split.
        split: A map from channels to the number of equal parts each is split into.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest: float = Field(gt=0, allow_inf_nan=False)
    split: dict[int, int] = {}

    def columns(self, width: int) -> list[int]:
        """Return the channel that each column holds: all in order, then the further parts."""
        further = [channel for channel, parts in self.split.items() for _ in range(parts - 1)]
        return [*range(width), *further]

    def shares(self, width: int) -> list[float]:
        """Return the part of its channel that each column holds."""
        return [1 / self.split.get(channel, 1) for channel in self.columns(width)]


def activation_range(largest: Array, extra: int = EXTRA_COLUMNS) -> ActivationRange:
    """Return the range of activations, the largest channels split if that is worth it.

    Args:
        largest: The largest absolute value of every channel, shape (channels,).
        extra: The columns that may be added: one at a time, to the channel with the largest
            parts.
    """
    parts = np.ones(len(largest), np.int64)
    queue = [(-float(size), channel) for channel, size in enumerate(largest)]
    heapq.heapify(queue)
    for _ in range(extra):
        channel = queue[0][1]
        parts[channel] += 1
        heapq.heapreplace(queue, (-float(largest[channel] / parts[channel]), channel))
    whole, narrowed = float(largest.max()), float((largest / parts).max())
    if whole <= WORTH_SPLITTING * narrowed:
        return ActivationRange(largest=max(whole, _SMALLEST))
    split = {int(channel): int(parts[channel]) for channel in np.flatnonzero(parts > 1)}
    return ActivationRange(largest=narrowed, split=split)
