"""A graph that doubles its input, in a time that a pretended clock shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from service.runtimes.embedded.engines.openvino_graph import graph_comparison

_CLOCK = SimpleNamespace(seconds=0.0)


def pretend_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let comparisons of graphs read the pretended clock: what else runs does not change them."""
    clock = SimpleNamespace(perf_counter=lambda: _CLOCK.seconds)
    monkeypatch.setattr(graph_comparison, "time", clock)


class PretendGraph:
    """Multiplies its input, and moves the clock on.

    Attributes:
        rows: The rows of every batch.
        is_closed: Whether it was closed.
    """

    def __init__(self, seconds: float = 1e-3, factor: float = 2.0) -> None:
        self.seconds, self.factor = seconds, factor
        self.rows: list[int] = []
        self.is_closed = False

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        _CLOCK.seconds += self.seconds
        self.rows.append(len(tensors["x"]))
        return {"y": self.factor * tensors["x"]}

    def close(self) -> None:
        self.is_closed = True
