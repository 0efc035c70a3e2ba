"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime as ort

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError
from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.onnxruntime_session.session_graph import SessionGraph
from service.runtimes.embedded.repository_reader import StoredGraph


class OnnxRuntimeGraph(SessionGraph):
    """A session whose memory does not grow and whose idle threads do not spin.

    Args:
        stored: The graph.
        options: The precision, and the number of cores that one run may use.

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
        super().__init__(stored, session)

    def _compute(
        self, session: ort.InferenceSession, inputs: Mapping[str, Array]
    ) -> Sequence[Array]:
        values: Sequence[Array] = session.run(self._wanted, inputs)
        return values


class OnnxRuntimeCpu:
    """Loads graphs into sessions of ONNX Runtime's own kernels for the CPU."""

    name = "onnxruntime"
    version: str = ort.__version__
    precisions: Sequence[EnginePrecision] = ("fp32", "int8")

    def load(self, stored: StoredGraph, options: LoadOptions) -> OnnxRuntimeGraph:
        """Load a graph; see ``Engine.load``."""
        return OnnxRuntimeGraph(stored, options)


ENGINE = OnnxRuntimeCpu
