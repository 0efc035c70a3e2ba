"""OpenVINO, on the CPU or on a GPU of Intel."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov

from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import INT8_GRAPH_FILE, EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions, Shape
from service.runtimes.embedded.engines.openvino_graph.float_weights import (
    FloatWeights,
    use_float_weights,
    weights_of,
)
from service.runtimes.embedded.engines.openvino_graph.index_check import (
    OUT_OF_RANGE,
    add_index_check,
)
from service.runtimes.embedded.engines.openvino_graph.inference_requests import (
    InferenceRequests,
    RecentGraphs,
)
from service.runtimes.embedded.engines.openvino_graph.onnx_axes import read_axes
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

_CPU = "CPU"

_ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable that hides instructions of the CPU from OpenVINO's kernels."""

_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of that variable with which bf16 is not computed, whatever the CPU has."""

_SMALL_GRAPH = 2 * 10**6
"""Weights below which a graph is a tokenizer or a head, which take a small part of a request."""

_SMALL_SHARE = 4
"""One in so many workers may be in the same small graph at a time. A stream takes about 2 MB."""

_FIRST_RUNS = 4
"""Runs per stream after which all weights are in the layout of the kernels."""


class OpenVinoGraph:
    """A graph that OpenVINO has compiled for one device.

    Args:
        core: The library.
        device: The name of the device: ``CPU``, ``GPU``, ``GPU.1``.
        stored: The graph.
        options: The precision and the cores.
        has_bf16: Whether the device computes in bf16.
        recent: The graphs of the engine that ran last.

    Attributes:
        inputs: The tensors it takes.
        outputs: The tensors it gives.
        memory_bytes: The bytes of its weights in the precision that runs.

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
    ) -> None:
        file = stored.graph_file(options.precision)
        self._core, self._device, self._recent = core, device, recent
        self._name = stored.name
        self._wanted = stored.outputs
        self.inputs: Mapping[str, Shape]
        self.outputs: Mapping[str, Shape]
        self.inputs, self.outputs = read_axes(file)
        quantized = file.name == INT8_GRAPH_FILE
        uses_bf16 = has_bf16 and options.precision != "fp32"
        try:
            model = core.read_model(file)
            # In 8 bits the compiler needs the weights as they are stored.
            self._weights = FloatWeights() if quantized else use_float_weights(model)
            self._checks_indices = add_index_check(model)
            number, self.memory_bytes = weights_of(model, 2 if uses_bf16 else 4)
            streams = _streams(options, number)
            self._settings = {
                "INFERENCE_PRECISION_HINT": "bf16" if uses_bf16 else "f32",
                "NUM_STREAMS": streams,
            }
            if device == _CPU:
                self._settings |= _cpu_settings(streams * options.threads)
            compiled = core.compile_model(model, device, self._settings)
        except RuntimeError as error:
            raise ArtifactError(f"{stored.name}: OpenVINO cannot load it: {error}") from error
        # A tensor has the names of all that it equals; one of them is that of the input.
        self._takes = {
            name: port.element_type.to_dtype()
            for port in compiled.inputs
            for name in port.names & self.inputs.keys()
        }
        self._compiled: ov.CompiledModel | None = compiled
        self._requests = InferenceRequests(compiled, recent)
        self._first_runs = _FIRST_RUNS * streams
        self._weights.release_pages()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a batch; see ``LoadedGraph.run``."""
        if self._compiled is None:
            raise ModelNotReadyError(f"{self._name} is not loaded any more")
        tensors = self._tensors(inputs)
        try:
            with self._requests.acquire() as request:
                for name, tensor in tensors.items():
                    request.set_tensor(name, tensor)
                # In OpenVINO's own threads: those of callers may have to share a stream.
                request.start_async()
                request.wait()
                if self._checks_indices and request.get_tensor(OUT_OF_RANGE).data.any():
                    _LOG.warning("%s refused an index outside of its table", self._name)
                    raise RefusedTensorsError(f"{self._name} cannot take these values")
                return {name: np.array(request.get_tensor(name).data) for name in self._wanted}
        except RuntimeError as error:
            _LOG.error("%s failed: %s", self._name, error)
            self._compile_again()
            raise ModelNotReadyError(f"the engine failed to run {self._name}") from error
        finally:
            if self._first_runs > 0:
                self._first_runs -= 1
                self._weights.release_pages()

    def close(self) -> None:
        """Free the compiled graph; see ``LoadedGraph.close``."""
        self._compiled = None
        self._requests.close()

    def _tensors(self, inputs: Mapping[str, Array]) -> dict[str, ov.Tensor]:
        """Wrap the inputs, without copying them, once they have the types and axes of the graph."""
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
            tensors[name] = ov.Tensor(np.require(array, None, ("C", "W")), shared_memory=True)
        return tensors

    def _compile_again(self) -> None:
        """Replace the compiled graph after a run that failed.

        A stream whose run fails halfway keeps the sizes of it, and may fail with the next batch.
        """
        compiled, requests = self._compiled, self._requests
        if compiled is not None:
            blob = compiled.export_model()
            self._compiled = self._core.import_model(blob, self._device, self._settings)
            self._requests = InferenceRequests(self._compiled, self._recent)
            requests.close()


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
        self._core = ov.Core()
        self._device = device
        devices = self._core.available_devices
        if device not in {*devices, *(name.partition(".")[0] for name in devices)}:
            raise ArtifactError(f"OpenVINO has no device {device!r}; it has {', '.join(devices)}")
        self._has_bf16 = _computes_bf16(self._core, device)
        self._recent = RecentGraphs()
        self.precisions: Sequence[EnginePrecision] = (
            ("fp32", "bf16", "int8") if self._has_bf16 else ("fp32", "int8")
        )

    def load(self, stored: StoredGraph, options: LoadOptions) -> OpenVinoGraph:
        """Load a graph; see ``Engine.load``."""
        return OpenVinoGraph(
            self._core, self._device, stored, options, self._has_bf16, self._recent
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
        # Weights that stay in 8 bits while activations are rounded at run time gave wrong answers
        # in two streams (2026.4.1: another class for a picture, differing from load to load).
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }


ENGINE = OpenVino
"""OpenVINO on the CPU."""
