"""ONNX Runtime on an NVIDIA GPU, through its CUDA and TensorRT execution providers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError
from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions, Shape
from service.runtimes.embedded.engines.onnxruntime_session.session_graph import SessionGraph
from service.runtimes.embedded.nvidia.cuda_devices import CudaDevices, list_cuda_devices
from service.runtimes.embedded.nvidia.gpu_library import (
    CPU,
    TENSORRT,
    GpuLibrary,
    InstalledLibrary,
    Provider,
)
from service.runtimes.embedded.nvidia.provider_options import (
    Versions,
    cache_directory,
    graph_providers,
    input_ranges,
    without_ranges,
)
from service.runtimes.embedded.nvidia.providers import check_providers, find_providers
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

_FAILURES: tuple[type[Exception], ...] = (*ENGINE_ERRORS, RuntimeError)
"""All that ONNX Runtime raises; some providers raise Python's own."""
_DEVICE_FAULTS = ("CUDA", "CUBLAS", "CUDNN", "TensorRT")
"""Words in the messages of errors that are the device's, not the values'."""
_NO_RANGES = "shape profiles"
"""In the error about a graph that TensorRT takes only in pieces."""


class OnnxRuntimeGpuGraph(SessionGraph):
    """A session on a GPU.

    Each call has a binding of its own, so that threads share the session alone. Inputs are copied
    once, to where the nodes that read them run; outputs once, to the host.
    """

    failures = _FAILURES

    def _compute(
        self, session: ort.InferenceSession, inputs: Mapping[str, Array]
    ) -> Sequence[Array]:
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._wanted:
            binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        return [value.numpy() for value in binding.get_outputs()]

    def _is_fault_of_device(self, error: Exception) -> bool:
        return any(word in str(error) for word in _DEVICE_FAULTS)


class OnnxRuntimeGpu:
    """Loads graphs into sessions on a GPU.

    Args:
        list_devices: A function that lists the GPUs.
        open_library: A function that opens ONNX Runtime.

    Attributes:
        precisions: The precisions that every visible GPU computes in.

    Raises:
        ArtifactError: There is no GPU, or ONNX Runtime cannot use it; the message says what to do.
    """

    name = "onnxruntime_gpu"

    def __init__(
        self,
        list_devices: Callable[[], CudaDevices] = list_cuda_devices,
        open_library: Callable[[], GpuLibrary] = InstalledLibrary,
    ) -> None:
        found = list_devices()
        if not found.devices:
            raise ArtifactError(f"no NVIDIA GPU can be used: {found.reason}")
        self._devices = found
        self._library = open_library()
        self._providers = find_providers(self._library, found)
        self.version = f"{self._library.version}, TensorRT {self._library.tensorrt_version or '-'}"
        self.precisions: Sequence[EnginePrecision] = self._providers.precisions(found.devices)

    def load(self, stored: StoredGraph, options: LoadOptions) -> OnnxRuntimeGpuGraph:
        """Load a graph; see ``Engine.load``."""
        path = stored.graph_file(options.precision)
        providers = self._providers_of(stored, path, options)
        try:
            session = self._session(path, options, providers)
        except _FAILURES as error:
            if _NO_RANGES not in str(error):
                raise ArtifactError(
                    f"{stored.name}: ONNX Runtime cannot load it: {error}"
                ) from error
            _LOG.warning(
                "%s: TensorRT takes it in pieces, and compiles as requests come", stored.name
            )
            session = self._session(path, options, without_ranges(providers))
        check_providers(session, [name for name, _ in providers], stored.name)
        return OnnxRuntimeGpuGraph(stored, session)

    def _providers_of(
        self, stored: StoredGraph, path: Path, options: LoadOptions
    ) -> list[Provider]:
        """Return the providers of a graph with their options."""
        devices = self._devices.devices
        if options.device >= len(devices):
            known = ", ".join(device.label for device in devices)
            raise ArtifactError(f"there is no GPU {options.device}; there are {known}")
        device = devices[options.device]
        # Without a file of its own, a graph is computed in the fastest float precision.
        precision = options.precision
        if precision == "int8" and path == stored.graph_file("fp32"):
            precision = "bf16" if "bf16" in self.precisions else "fp32"
        order = self._providers.order(precision)
        if TENSORRT not in order:
            return graph_providers(order, device, precision, {}, None)
        ranges = input_ranges(stored, self._axes(stored, path))
        versions = Versions(
            self._library.version, self._library.tensorrt_version, self._devices.driver
        )
        cache = cache_directory(options.cache_dir, stored, precision, ranges, device, versions)
        return graph_providers(order, device, precision, ranges, cache)

    def _axes(self, stored: StoredGraph, path: Path) -> dict[str, Shape]:
        """Return the axes of a graph's inputs, for which nothing is optimised or compiled."""
        settings = ort.SessionOptions()
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = self._library.make_session(path, settings, [(CPU, {})])
        except ENGINE_ERRORS as error:
            raise ArtifactError(f"{stored.name}: ONNX Runtime cannot load it: {error}") from error
        return {node.name: tuple(node.shape) for node in session.get_inputs()}

    def _session(
        self, path: Path, options: LoadOptions, providers: Sequence[Provider]
    ) -> ort.InferenceSession:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads  # of the nodes that stay on the CPU
        settings.inter_op_num_threads = 1
        settings.enable_cpu_mem_arena = False
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return self._library.make_session(path, settings, providers)


ENGINE = OnnxRuntimeGpu
