from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.support import remembering_engine
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadedGraph, LoadOptions, Shape
from service.runtimes.embedded.repository_reader import StoredGraph


class Doubling:
    """A graph that counts how often it is run."""

    inputs: Mapping[str, Shape] = {"x": ("batch", 3)}
    outputs: Mapping[str, Shape] = {"y": ("batch", 3)}
    memory_bytes = 7

    def __init__(self) -> None:
        self.runs = 0
        self.closed = False

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.runs += 1
        return {"y": inputs["x"] * 2}

    def close(self) -> None:
        self.closed = True


class Engine:
    precisions = ("fp32",)
    graph = Doubling()

    def load(self, *_: Any) -> LoadedGraph:
        return self.graph


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> tuple[LoadedGraph, Doubling]:
    engine = Engine()
    engine.graph = Doubling()
    monkeypatch.setattr(remembering_engine, "OnnxRuntimeCpu", lambda: engine)
    stored = StoredGraph("x", "1", Path(), ("x",), ("y",), 8)
    return remembering_engine.ENGINE().load(stored, LoadOptions()), engine.graph


def rows(count: int, value: float) -> dict[str, Array]:
    return {"x": np.full((count, 3), value, np.float32)}


def test_an_input_is_computed_once_whatever_batches_it_comes_in(
    loaded: tuple[LoadedGraph, Doubling],
) -> None:
    graph, counted = loaded
    for count in (1, 4, 2):
        (answer,) = graph.run(rows(count, 1.0)).values()
        assert answer.tolist() == [[2.0] * 3] * count
    assert counted.runs == 1


def test_other_values_are_computed_and_mixed_batches_are_not_remembered(
    loaded: tuple[LoadedGraph, Doubling],
) -> None:
    graph, counted = loaded
    graph.run(rows(2, 1.0))
    assert graph.run(rows(1, 5.0))["y"].tolist() == [[10.0] * 3]
    mixed = {"x": np.array([[1.0] * 3, [5.0] * 3], np.float32)}
    for _ in range(2):
        assert graph.run(mixed)["y"].tolist() == [[2.0] * 3, [10.0] * 3]
    assert counted.runs == 4


def test_it_has_the_tensors_of_the_graph_and_frees_it(
    loaded: tuple[LoadedGraph, Doubling],
) -> None:
    graph, counted = loaded
    assert (graph.inputs, graph.outputs, graph.memory_bytes) == (
        counted.inputs,
        counted.outputs,
        7,
    )
    graph.close()
    assert counted.closed
