from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import Shape
from service.runtimes.embedded.repository_reader import StoredGraph
from service.runtimes.embedded.served_graph import ServedGraph

STORED = StoredGraph("a", "1", Path(), ("x", "unused"), ("y",), 16)


class Doubling:
    """Doubles ``x``; counts how often it is closed."""

    memory_bytes = 7

    def __init__(self, given: Shape = ("batch", "length"), taken: Shape = ("batch", 2)) -> None:
        self.inputs: Mapping[str, Shape] = {"x": given}
        self.outputs: Mapping[str, Shape] = {"y": taken}
        self.closed = 0

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        (array,) = inputs.values()
        return {"y": array * 2}

    def close(self) -> None:
        self.closed += 1


def test_inputs_that_a_graph_does_not_use_are_left_out() -> None:
    graph = ServedGraph(STORED, Doubling(), 32)
    answer = graph.run({"x": np.array([[1.0]]), "unused": np.array([[5.0]])})
    assert answer["y"].tolist() == [[2.0]]
    assert (graph.name, graph.memory_bytes) == ("a", 7)


@pytest.mark.parametrize(("allowed", "expected"), [(4, 4), (32, 16)])
def test_the_lower_limit_of_rows_counts(allowed: int, expected: int) -> None:
    assert ServedGraph(STORED, Doubling(), allowed).max_rows == expected


@pytest.mark.parametrize(
    ("output", "pads"),
    [(("batch", 2), True), (("batch", "other"), True), (("batch", "length"), False),
     (("batch", None), False)],
)  # fmt: skip
def test_rows_are_padded_only_where_no_output_would_keep_the_padding(
    output: Shape, pads: bool
) -> None:
    assert ServedGraph(STORED, Doubling(taken=output), 8).pads is pads


def test_the_tokens_of_a_whole_graph_are_those_of_its_axes() -> None:
    graph = ServedGraph(STORED, Doubling(), 8, 50)
    assert graph.max_token_pairs == 50
    assert graph.count_tokens({"x": np.zeros((2, 6))}) == 6


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_graph_of_other_tensors_than_its_configuration_is_refused(name: str) -> None:
    graph = Doubling()
    if name == "x":
        graph.inputs = {"other": ("batch", 2)}
    else:
        graph.outputs = {"other": ("batch", 2)}
    with pytest.raises(ArtifactError, match="not the tensors of its configuration"):
        ServedGraph(STORED, graph, 8)


def test_memory_is_freed_once_by_closing_or_when_the_last_request_is_answered() -> None:
    closed, dropped = Doubling(), Doubling()
    graph = ServedGraph(STORED, closed, 8)
    graph.close()
    graph.close()
    assert closed.closed == 1
    graph = ServedGraph(STORED, dropped, 8)
    del graph
    gc.collect()
    assert dropped.closed == 1
