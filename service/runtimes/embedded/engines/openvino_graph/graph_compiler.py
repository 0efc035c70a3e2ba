"""Compiles one graph for a device: for every size of batch or one shape, for any share of cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import openvino as ov

from omnivec2.passport import INT8_GRAPH_FILE
from service.runtimes.embedded.engines.openvino_graph.compiled_graph import CompiledGraph
from service.runtimes.embedded.engines.openvino_graph.float_weights import (
    FloatWeights,
    use_float_weights,
    weights_of,
)
from service.runtimes.embedded.engines.openvino_graph.index_check import add_index_check
from service.runtimes.embedded.engines.openvino_graph.inference_requests import RecentGraphs
from service.runtimes.embedded.engines.openvino_graph.sized_graph import SizedGraph
from service.runtimes.embedded.engines.openvino_graph.static_shapes import StaticShapes

CPU = "CPU"
"""OpenVINO's name of the processor."""


@dataclass(frozen=True)
class Form:
    """How a graph is compiled.

    Attributes:
        streams: The number of batches that it computes at the same time.
        threads: The number of cores that all of them use together.
        static: The graphs for single shapes; None if it is too small for copies.
    """

    streams: int
    threads: int
    static: StaticShapes | None


class GraphCompiler:
    """Compiles a graph, whose file is read anew each time: compiling changes what was read.

    Args:
        core: The library.
        device: The name of the device.
        file: The graph.
        outputs: The names of the tensors that it is to give.
        number: Its number among the graphs of the engine.
        uses_bf16: Whether it computes in bf16, else in float32.
        recent: The graphs of the engine that ran last.

    Attributes:
        weights: The number of its weights.
        weight_bytes: Their bytes in the precision that it computes in.

    Raises:
        RuntimeError: OpenVINO cannot read the file.
    """

    def __init__(
        self,
        core: ov.Core,
        device: str,
        file: Path,
        outputs: Sequence[str],
        number: int,
        *,
        uses_bf16: bool,
        recent: RecentGraphs,
    ) -> None:
        self._core, self._device, self._file = core, device, file
        self._outputs, self._number, self._recent = outputs, number, recent
        self._precision = "bf16" if uses_bf16 else "f32"
        # In 8 bits the compiler needs the weights as they are stored.
        self._widens = file.name != INT8_GRAPH_FILE
        self._unused: tuple[ov.Model, FloatWeights] | None = self._read()
        model, _ = self._unused
        self._checks_indices = add_index_check(model)
        self.weights, self.weight_bytes = weights_of(model, 2 if uses_bf16 else 4)

    def compile(self, form: Form) -> SizedGraph:
        """Compile the graph for every size of batch.

        Raises:
            RuntimeError: OpenVINO cannot compile it.
        """
        # What was read first is compiled first.
        read, self._unused = self._unused, None
        if read is None:
            read = self._read()
            add_index_check(read[0])
        compiled = self._core.compile_model(read[0], self._device, self._settings(form))
        return self._sized(compiled, read[1], form)

    def compile_again(self, graph: SizedGraph, form: Form) -> SizedGraph:
        """Compile a graph again that is compiled already, without its file.

        Raises:
            RuntimeError: OpenVINO cannot compile it.
        """
        blob = graph.dynamic.compiled.export_model()
        compiled = self._core.import_model(blob, self._device, self._settings(form))
        return self._sized(compiled, FloatWeights(), form)

    def _compile_static(self, form: Form, shapes: Mapping[str, Sequence[int]]) -> CompiledGraph:
        model, weights = self._read()
        add_index_check(model)
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        compiled = self._core.compile_model(model, self._device, self._settings(form))
        return self._wrap(compiled, weights, form)

    def _read(self) -> tuple[ov.Model, FloatWeights]:
        model = self._core.read_model(self._file)
        return model, use_float_weights(model) if self._widens else FloatWeights()

    def _sized(self, compiled: ov.CompiledModel, weights: FloatWeights, form: Form) -> SizedGraph:
        graph = self._wrap(compiled, weights, form)
        return SizedGraph(self._number, graph, form.static, partial(self._compile_static, form))

    def _wrap(self, compiled: ov.CompiledModel, weights: FloatWeights, form: Form) -> CompiledGraph:
        return CompiledGraph(
            compiled,
            weights,
            self._outputs,
            checks_indices=self._checks_indices,
            streams=form.streams,
            recent=self._recent,
        )

    def _settings(self, form: Form) -> Mapping[str, int | str | bool]:
        settings: dict[str, int | str | bool] = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "NUM_STREAMS": form.streams,
        }
        return settings | _cpu_settings(form.threads) if self._device == CPU else settings


def _cpu_settings(threads: int) -> dict[str, int | str | bool]:
    return {
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_HYPER_THREADING": True,
        # In a container other processes may be on the cores that OpenVINO would choose.
        "ENABLE_CPU_PINNING": False,
        # Kernels that each stream keeps for shapes it has seen. With the default, 5,000, the trunk
        # grew by 1.6 GB over 600 shapes of batch; with 64 by 0.2 GB, and took no longer.
        "CPU_RUNTIME_CACHE_CAPACITY": 64,
        # Weights that stay in 8 bits while activations are rounded at run time gave wrong answers
        # in two streams (2026.4.1: another class for a picture, differing from load to load).
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
