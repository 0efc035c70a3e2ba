"""An engine that computes an input once and then remembers its answer.

With it, the time of a request is all that is not the network. It is for clients that send the same
request again and again: ``OMNIVEC2_ENGINE=loadtests.support.remembering_engine:ENGINE``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadedGraph, LoadOptions, Shape
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.repository_reader import StoredGraph

_STRIDE = 61
"""One value in so many tells rows apart; comparing all would take as long as a small network."""

_NEAR = 1e-2


class RememberingEngine:
    """ONNX Runtime, whose answers are remembered."""

    name = "remembering"
    version = OnnxRuntimeCpu.version

    def __init__(self) -> None:
        self._engine = OnnxRuntimeCpu()

    @property
    def precisions(self) -> Sequence[EnginePrecision]:
        """The precisions of ONNX Runtime."""
        return self._engine.precisions

    def load(self, stored: StoredGraph, options: LoadOptions) -> LoadedGraph:
        """Load a graph; see ``Engine.load``."""
        return _RememberingGraph(self._engine.load(stored, options))


@dataclass(frozen=True)
class _Answered:
    """A row that was computed: some of its values, and the outputs (1, ...) it got."""

    values: Mapping[str, Array]
    outputs: Mapping[str, Array]


class _RememberingGraph:
    def __init__(self, graph: LoadedGraph) -> None:
        self._graph = graph
        self._answered: list[_Answered] = []

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The tensors it takes."""
        return self._graph.inputs

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """The tensors it gives."""
        return self._graph.outputs

    @property
    def memory_bytes(self) -> int:
        """The bytes of its weights."""
        return self._graph.memory_bytes

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the answer to rows that are all like one that was computed, or compute them."""
        rows = len(next(iter(inputs.values())))
        values = {
            name: array.reshape(rows, *array.shape[1:-1], -1)[..., ::_STRIDE]
            for name, array in inputs.items()
        }
        for known in self._answered:
            if _are_like(values, known.values):
                return {
                    name: np.broadcast_to(array, (rows, *array.shape[1:]))
                    for name, array in known.outputs.items()
                }
        outputs = self._graph.run(inputs)
        first = {name: array[:1].copy() for name, array in values.items()}
        if _are_like(values, first):
            outputs_of_first = {name: array[:1].copy() for name, array in outputs.items()}
            self._answered.append(_Answered(first, outputs_of_first))
        return outputs

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()


def _are_like(values: Mapping[str, Array], known: Mapping[str, Array]) -> bool:
    """Whether every row has the shape and nearly the values of a known one.

    The values of a row differ a little with the size of the batch it was computed in.
    """
    return all(
        array.shape[1:] == known[name].shape[1:]
        and bool((np.abs(np.subtract(array, known[name], dtype=np.float64)) < _NEAR).all())
        for name, array in values.items()
    )


ENGINE = RememberingEngine
