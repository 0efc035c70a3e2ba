"""OpenVINO, on the CPU or on a GPU of Intel."""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import openvino as ov

from omnivec2.engines.openvino_core import make_core
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import INT8_GRAPH_FILE, EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions, Shape
from service.runtimes.embedded.engines.openvino_graph.compiled_graph import CompiledGraph
from service.runtimes.embedded.engines.openvino_graph.float_weights import (
    FloatWeights,
    use_float_weights,
    weights_of,
)
from service.runtimes.embedded.engines.openvino_graph.index_check import add_index_check
from service.runtimes.embedded.engines.openvino_graph.inference_requests import RecentGraphs
from service.runtimes.embedded.engines.openvino_graph.int8_arrangement import arrange_int8
from service.runtimes.embedded.engines.openvino_graph.onnx_axes import read_axes
from service.runtimes.embedded.engines.openvino_graph.static_shapes import Shapes, StaticShapes
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

_CPU = "CPU"

_ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable that hides instructions of the CPU from OpenVINO's kernels."""

_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of that variable with which bf16 is not computed, whatever the CPU has."""

_SMALL_GRAPH = 2 * 10**6
"""Weights below which a graph is a tokenizer or a head, which take a small part of a request."""

_TINY_GRAPH = 2 * 10**5
"""Weights below which a graph takes too little time to be compiled once more."""

_SMALL_STATIC = 2
"""Static shapes of small graphs for each of a large one: a tokenizer's and a head's beside it."""

_SMALL_SHARE = 4
"""One in so many workers may be in the same small graph at a time. A stream takes about 2 MB."""

_NUMBERS = itertools.count()


class OpenVinoGraph:
    """A graph that OpenVINO has compiled for one device.

    Args:
        core: The library.
        device: The name of the device: ``CPU``, ``GPU``, ``GPU.1``.
        stored: The graph.
        options: The precision and the cores.
        has_bf16: Whether the device computes in bf16.
        recent: The graphs of the engine that ran last.
        static: The engine's graphs for single shapes: of small graphs, and of large ones.

    Attributes:
        inputs: The tensors it takes.
        outputs: The tensors it gives.

    Raises:
        ArtifactError: OpenVINO cannot load it.
    """

    def __init__(
        self,
        core: ov.Core,
        device: str,
        stored: StoredGraph,
        options: LoadOptions,
        has_bf16: bool,
        recent: RecentGraphs,
        static: tuple[StaticShapes, StaticShapes],
    ) -> None:
        self._core, self._device, self._recent = core, device, recent
        self._name = stored.name
        self._wanted = stored.outputs
        self._file = stored.graph_file(options.precision)
        self._number = next(_NUMBERS)
        self.inputs: Mapping[str, Shape]
        self.outputs: Mapping[str, Shape]
        self.inputs, self.outputs = read_axes(self._file)
        # In 8 bits the compiler needs the weights as they are stored.
        self._widens = self._file.name != INT8_GRAPH_FILE
        uses_bf16 = has_bf16 and options.precision != "fp32"
        try:
            model, weights = self._read()
            self._checks_indices = add_index_check(model)
            self._weights, self._weight_bytes = weights_of(model, 2 if uses_bf16 else 4)
            self._static = static[self._weights >= _SMALL_GRAPH]
            self._streams = _streams(options, self._weights)
            self._settings = {
                "INFERENCE_PRECISION_HINT": "bf16" if uses_bf16 else "f32",
                "NUM_STREAMS": self._streams,
            }
            if device == _CPU:
                self._settings |= _cpu_settings(self._streams * options.threads)
            compiled = core.compile_model(model, device, self._settings)
        except RuntimeError as error:
            raise ArtifactError(f"{stored.name}: OpenVINO cannot load it: {error}") from error
        # A tensor has the names of all that it equals; one of them is that of the input.
        self._takes = {
            name: port.element_type.to_dtype()
            for port in compiled.inputs
            for name in port.names & self.inputs.keys()
        }
        self._graph: CompiledGraph | None = self._wrap(compiled, weights)

    @property
    def memory_bytes(self) -> int:
        """The bytes of its weights, in the precision that runs and with every copy of them."""
        return self._weight_bytes * (1 + self._static.count(self._number))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a batch; see ``LoadedGraph.run``."""
        graph = self._graph
        if graph is None:
            raise ModelNotReadyError(f"{self._name} is not loaded any more")
        tensors = self._tensors(inputs)
        shapes = tuple([array.shape for array in tensors.values()])
        try:
            if self._weights < _TINY_GRAPH:
                return graph.run(tensors)
            if (static := self._static.find(self._number, shapes)) is not None:
                return static.run(tensors)
            outputs = graph.run(tensors)
        except RefusedTensorsError:
            _LOG.warning("%s refused an index outside of its table", self._name)
            raise RefusedTensorsError(f"{self._name} cannot take these values") from None
        except RuntimeError as error:
            _LOG.error("%s failed: %s", self._name, error)
            self._compile_again(graph)
            raise ModelNotReadyError(f"the engine failed to run {self._name}") from error
        compile_static = partial(self._compile_static, shapes)
        self._static.observe(self._number, shapes, tensors, compile_static, graph)
        return outputs

    def close(self) -> None:
        """Free the compiled graph; see ``LoadedGraph.close``."""
        graph, self._graph = self._graph, None
        self._static.forget(self._number)
        if graph is not None:
            graph.close()

    def _read(self) -> tuple[ov.Model, FloatWeights]:
        model = self._core.read_model(self._file)
        if self._widens:
            return model, use_float_weights(model)
        arrange_int8(model)
        return model, FloatWeights()

    def _wrap(self, compiled: ov.CompiledModel, weights: FloatWeights) -> CompiledGraph:
        return CompiledGraph(
            compiled,
            weights,
            self._wanted,
            checks_indices=self._checks_indices,
            streams=self._streams,
            recent=self._recent,
        )

    def _compile_static(self, shapes: Shapes) -> CompiledGraph:
        model, weights = self._read()
        add_index_check(model)
        model.reshape(dict(zip(self._takes, map(list, shapes), strict=True)))
        return self._wrap(self._core.compile_model(model, self._device, self._settings), weights)

    def _tensors(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the inputs as OpenVINO shares them; they have the types and axes of the graph."""
        if missing := self._takes.keys() - inputs.keys():
            raise RefusedTensorsError(f"{self._name} needs {', '.join(sorted(missing))}")
        tensors = {}
        sizes: dict[str, int] = {}
        for name, kind in self._takes.items():
            array, axes = inputs[name], self.inputs[name]
            fits = array.ndim == len(axes) and all(
                size == (sizes.setdefault(axis, size) if isinstance(axis, str) else axis)
                for axis, size in zip(axes, array.shape, strict=True)
                if axis is not None
            )
            if not fits or array.dtype != kind:
                _LOG.warning("%s refused %s %s: %s", self._name, name, array.shape, array.dtype)
                raise RefusedTensorsError(f"{self._name} cannot take these values")
            # Only memory that may be written can be shared; bytes of a request may not.
            tensors[name] = np.require(array, None, ("C", "W"))
        return tensors

    def _compile_again(self, failed: CompiledGraph) -> None:
        """Replace the compiled graph after a run that failed.

        A stream whose run fails halfway keeps the sizes of it, and may fail with the next batch.
        """
        if self._graph is failed:
            blob = failed.compiled.export_model()
            compiled = self._core.import_model(blob, self._device, self._settings)
            self._graph = self._wrap(compiled, FloatWeights())
            self._static.forget(self._number)
            failed.close()


class OpenVino:
    """Compiles graphs for a device of this machine.

    In int8 a graph that was not quantized is compiled in the fastest float precision.

    Args:
        device: The name of the device, as OpenVINO lists it.

    Attributes:
        precisions: The precisions it can compute in: bf16 only where the device has it.

    Raises:
        ArtifactError: There is no such device.
    """

    name = "openvino"
    version: str = ov.__version__

    def __init__(self, device: str = _CPU) -> None:
        self._core = make_core()
        self._device = device
        devices = self._core.available_devices
        if device not in {*devices, *(name.partition(".")[0] for name in devices)}:
            raise ArtifactError(f"OpenVINO has no device {device!r}; it has {', '.join(devices)}")
        self._has_bf16 = _computes_bf16(self._core, device)
        self._recent = RecentGraphs()
        self._lock = threading.Lock()
        self._static: tuple[StaticShapes, StaticShapes] | None = None
        self.precisions: Sequence[EnginePrecision] = (
            ("fp32", "bf16", "int8") if self._has_bf16 else ("fp32", "int8")
        )

    def load(self, stored: StoredGraph, options: LoadOptions) -> OpenVinoGraph:
        """Load a graph; see ``Engine.load``."""
        most = options.static_shapes
        with self._lock:
            self._static = self._static or (
                StaticShapes(_SMALL_STATIC * most),
                StaticShapes(most),
            )
        return OpenVinoGraph(
            self._core, self._device, stored, options, self._has_bf16, self._recent, self._static
        )


def _computes_bf16(core: ov.Core, device: str) -> bool:
    # The list is that of the CPU; the kernels heed the variable.
    hidden = device == _CPU and os.environ.get(_ISA_LIMIT, "").upper() in _WITHOUT_BF16
    return not hidden and "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")


def _streams(options: LoadOptions, weights: int) -> int:
    """Return the number of batches of a graph that are computed at the same time."""
    if weights >= _SMALL_GRAPH:
        return options.workers
    return math.ceil(options.workers / _SMALL_SHARE)


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


ENGINE = OpenVino
"""OpenVINO on the CPU."""
