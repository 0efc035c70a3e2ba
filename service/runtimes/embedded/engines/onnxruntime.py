"""ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import PASSPORT_FILE, EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions, Shape
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

# What operators raise at an index outside of a table, and at sizes that do not go together.
_REFUSALS = (ort_errors.InvalidArgument, ort_errors.Fail)


class OnnxRuntimeGraph:
    """A session whose memory does not grow and whose idle threads do not spin.

    Args:
        stored: The graph.
        options: The precision, and the number of cores that one run may use.

    Attributes:
        memory_bytes: The size of the graph and its weights on the disk. What ONNX Runtime
            really allocates is the whole process's; it does not tell.

    Raises:
        ArtifactError: ONNX Runtime cannot load it.
    """

    def __init__(self, stored: StoredGraph, options: LoadOptions) -> None:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.enable_cpu_mem_arena = False
        settings.enable_mem_pattern = False
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(
                stored.graph_file(options.precision), settings, providers=["CPUExecutionProvider"]
            )
        except ENGINE_ERRORS as error:
            raise ArtifactError(f"{stored.name}: ONNX Runtime cannot load it: {error}") from error
        self._session: ort.InferenceSession | None = session
        self._name = stored.name
        self._wanted = list(stored.outputs)
        self.inputs: Mapping[str, Shape] = {n.name: tuple(n.shape) for n in session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {n.name: tuple(n.shape) for n in session.get_outputs()}
        self.memory_bytes = sum(
            file.stat().st_size for file in stored.directory.iterdir() if file.name != PASSPORT_FILE
        )

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a batch; see ``LoadedGraph.run``."""
        if self._session is None:
            raise ModelNotReadyError(f"{self._name} is not loaded any more")
        try:
            values = self._session.run(self._wanted, inputs)
        except _REFUSALS as error:
            _LOG.warning("%s refused its inputs: %s", self._name, error)
            raise RefusedTensorsError(f"{self._name} cannot take these values") from error
        except ENGINE_ERRORS as error:
            _LOG.error("%s failed: %s", self._name, error)
            raise ModelNotReadyError(f"the engine failed to run {self._name}") from error
        return dict(zip(self._wanted, values, strict=True))

    def close(self) -> None:
        """Free the session; see ``LoadedGraph.close``."""
        self._session = None


class OnnxRuntimeCpu:
    """Loads graphs into sessions of ONNX Runtime's own kernels for the CPU."""

    name = "onnxruntime"
    version: str = ort.__version__
    precisions: Sequence[EnginePrecision] = ("fp32", "int8")

    def load(self, stored: StoredGraph, options: LoadOptions) -> OnnxRuntimeGraph:
        """Load a graph; see ``Engine.load``."""
        return OnnxRuntimeGraph(stored, options)


ENGINE = OnnxRuntimeCpu
