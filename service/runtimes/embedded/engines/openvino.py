"""OpenVINO, on the CPU or on a GPU of Intel."""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import openvino as ov

from omnivec2.engines.openvino_core import make_core
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions, Shape
from service.runtimes.embedded.engines.openvino_graph.graph_comparison import Batch
from service.runtimes.embedded.engines.openvino_graph.graph_compiler import (
    CPU,
    Form,
    GraphCompiler,
)
from service.runtimes.embedded.engines.openvino_graph.inference_requests import RecentGraphs
from service.runtimes.embedded.engines.openvino_graph.lone_batches import (
    LoneBatches,
    RunningBatches,
    threads_of_lone_batches,
)
from service.runtimes.embedded.engines.openvino_graph.onnx_axes import read_axes
from service.runtimes.embedded.engines.openvino_graph.sized_graph import SizedGraph
from service.runtimes.embedded.engines.openvino_graph.static_shapes import StaticShapes
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

_ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable that hides instructions of the CPU from OpenVINO's kernels."""

_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of that variable with which bf16 is not computed, whatever the CPU has."""

_SMALL_GRAPH = 2 * 10**6
"""Weights below which a graph is a tokenizer or a head, which take a small part of a request."""

_SMALL_SHARE = 4
"""One in so many workers may be in the same small graph at a time. A stream takes about 2 MB."""

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class _EngineParts:
    """What all graphs of one engine share.

    Attributes:
        recent: The graphs that ran last.
        running: The batches that are computed now.
        static: The graphs for single shapes.
        lone_static: Those for batches of one row that are alone.
    """

    recent: RecentGraphs
    running: RunningBatches
    static: StaticShapes
    lone_static: StaticShapes


class OpenVinoGraph:
    """A graph that OpenVINO has compiled for one device.

    Args:
        core: The library.
        device: The name of the device: ``CPU``, ``GPU``, ``GPU.1``.
        stored: The graph.
        options: The precision and the cores.
        has_bf16: Whether the device computes in bf16.
        parts: The parts that all graphs of the engine share.

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
        parts: _EngineParts,
    ) -> None:
        self._running = parts.running
        self._name = stored.name
        file = stored.graph_file(options.precision)
        self.inputs: Mapping[str, Shape]
        self.outputs: Mapping[str, Shape]
        self.inputs, self.outputs = read_axes(file)
        uses_bf16 = has_bf16 and options.precision != "fp32"
        try:
            self._compiler = GraphCompiler(
                core,
                device,
                file,
                stored.outputs,
                next(_NUMBERS),
                uses_bf16=uses_bf16,
                recent=parts.recent,
            )
            is_small = self._compiler.weights < _SMALL_GRAPH
            streams = _streams(options, is_small)
            # A small graph gains too little for copies.
            static = None if is_small else parts.static
            self._form = Form(streams, streams * options.threads, static)
            graph = self._compiler.compile(self._form)
        except RuntimeError as error:
            raise ArtifactError(f"{stored.name}: OpenVINO cannot load it: {error}") from error
        # A tensor has the names of all that it equals; one of them is that of the input.
        self._takes = {
            name: port.element_type.to_dtype()
            for port in graph.dynamic.compiled.inputs
            for name in port.names & self.inputs.keys()
        }
        self._graph: SizedGraph | None = graph
        threads = threads_of_lone_batches(options.workers * options.threads)
        self._lone_form = Form(1, threads, None if is_small else parts.lone_static)
        has_lone = device == CPU and options.static_shapes > 0 and threads > options.threads
        self._lone = self._lone_batches() if has_lone else None

    @property
    def memory_bytes(self) -> int:
        """The bytes of its weights, in the precision that runs and with every copy of them."""
        copies = self._graph.copies if self._graph is not None else 1
        copies += self._lone.copies if self._lone is not None else 0
        return self._compiler.weight_bytes * copies

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a batch; see ``LoadedGraph.run``."""
        graph = self._graph
        if graph is None:
            raise ModelNotReadyError(f"{self._name} is not loaded any more")
        tensors = self._tensors(inputs)
        try:
            with self._running.add() as is_alone:
                return self._run(graph, tensors, is_alone)
        except RefusedTensorsError:
            _LOG.warning("%s refused an index outside of its table", self._name)
            raise RefusedTensorsError(f"{self._name} cannot take these values") from None
        except RuntimeError as error:
            _LOG.error("%s failed: %s", self._name, error)
            self._compile_again(graph)
            raise ModelNotReadyError(f"the engine failed to run {self._name}") from error

    def close(self) -> None:
        """Free the compiled graph; see ``LoadedGraph.close``."""
        graph, self._graph = self._graph, None
        if self._lone is not None:
            self._lone.close()
        if graph is not None:
            graph.close()

    def _run(self, graph: SizedGraph, tensors: Batch, is_alone: bool) -> dict[str, Array]:
        lone = self._lone
        if lone is None or not is_alone or len(next(iter(tensors.values()))) > 1:
            return graph.run(tensors)
        if (found := lone.find(tensors, graph.dynamic)) is not None:
            return found.run(tensors)
        return graph.run(tensors, counts=not lone.is_undecided)

    def _lone_batches(self) -> LoneBatches:
        return LoneBatches(self._name, partial(self._compiler.compile, self._lone_form))

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

    def _compile_again(self, failed: SizedGraph) -> None:
        """Replace the compiled graph after a run that failed.

        A stream whose run fails halfway keeps the sizes of it, and may fail with the next batch.
        """
        if self._graph is failed:
            self._graph = self._compiler.compile_again(failed, self._form)
            failed.close()
            if self._lone is not None:
                self._lone.close()
                self._lone = self._lone_batches()


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

    def __init__(self, device: str = CPU) -> None:
        self._core = make_core()
        self._device = device
        devices = self._core.available_devices
        if device not in {*devices, *(name.partition(".")[0] for name in devices)}:
            raise ArtifactError(f"OpenVINO has no device {device!r}; it has {', '.join(devices)}")
        self._has_bf16 = _computes_bf16(self._core, device)
        self._lock = threading.Lock()
        self._parts: _EngineParts | None = None
        self.precisions: Sequence[EnginePrecision] = (
            ("fp32", "bf16", "int8") if self._has_bf16 else ("fp32", "int8")
        )

    def load(self, stored: StoredGraph, options: LoadOptions) -> OpenVinoGraph:
        """Load a graph; see ``Engine.load``."""
        with self._lock:
            self._parts = self._parts or _EngineParts(
                RecentGraphs(),
                RunningBatches(),
                StaticShapes(options.static_shapes),
                StaticShapes(options.static_shapes),
            )
        return OpenVinoGraph(self._core, self._device, stored, options, self._has_bf16, self._parts)


def _computes_bf16(core: ov.Core, device: str) -> bool:
    # The list is that of the CPU; the kernels heed the variable.
    hidden = device == CPU and os.environ.get(_ISA_LIMIT, "").upper() in _WITHOUT_BF16
    return not hidden and "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")


def _streams(options: LoadOptions, is_small: bool) -> int:
    """Return the number of batches of a graph that are computed at the same time."""
    return math.ceil(options.workers / _SMALL_SHARE) if is_small else options.workers


ENGINE = OpenVino
"""OpenVINO on the CPU."""
