"""Two compiled forms of one graph, compared on the same batch before the new one is used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from omnivec2.errors import OmniVecError
from omnivec2.preprocess import Array

COMPILE_ERRORS = (OmniVecError, RuntimeError, ValueError, MemoryError)
"""What compiling a graph once more, or comparing it, may raise; the usual one serves on."""

_LEAST_GAIN = 0.97
"""The time of a batch, against the usual graph, above which a copy is not worth its memory."""

_LEAST_SAVED_SECONDS = 2e-4
"""What a copy has to save of each batch: a ratio of nearly nothing is not worth its memory."""

_TIMED_RUNS = 7

_MOST_DIFFERENCE = 0.05
"""The difference between both graphs' outputs, against their size: that of bf16 rounding."""

Batch = Mapping[str, Array]


class RunnableGraph(Protocol):
    """A graph that computes batches."""

    def run(self, tensors: Batch) -> dict[str, Array]:
        """Compute a batch."""

    def close(self) -> None:
        """Free the graph once its last run has ended."""


@dataclass(frozen=True)
class Comparison:
    """The times of a batch, in seconds.

    Attributes:
        seconds: The time in the new graph.
        usual_seconds: The time in the usual one.
    """

    seconds: float
    usual_seconds: float

    @property
    def ratio(self) -> float:
        """The new graph's time against the usual one's."""
        return self.seconds / self.usual_seconds

    @property
    def is_gain(self) -> bool:
        """Whether the new graph is worth its memory."""
        saved = self.usual_seconds - self.seconds
        return self.ratio <= _LEAST_GAIN and saved >= _LEAST_SAVED_SECONDS


def compare_graphs(graph: RunnableGraph, usual: RunnableGraph, batch: Batch) -> Comparison:
    """Run a batch through two graphs, in turns, and compare times and answers.

    Args:
        graph: The new graph.
        usual: The graph that answers now.
        batch: The batch.

    Raises:
        ValueError: The new graph answers otherwise.
    """
    seconds: dict[int, list[float]] = {0: [], 1: []}
    outputs: list[Batch] = []
    for turn in range(_TIMED_RUNS):
        outputs = []
        for number, one in enumerate((graph, usual)):
            started = time.perf_counter()
            outputs.append(one.run(batch))
            if turn:  # the first run of each arranges its weights
                seconds[number].append(time.perf_counter() - started)
    ours, theirs = outputs
    for name, expected in theirs.items():
        difference = float(np.linalg.norm(ours[name] - expected))
        if difference > _MOST_DIFFERENCE * float(np.linalg.norm(expected)):
            raise ValueError(f"{name} differs from that of the usual graph")
    # What others do on the same cores adds to a time, and never takes from it.
    return Comparison(min(seconds[0]), min(seconds[1]))
