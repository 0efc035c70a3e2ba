"""One exported graph in ONNX Runtime, on the CPU of this process."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import GRAPH_FILE
from omnivec2.preprocess import Array
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

# What operators raise at an index outside of a table, and at sizes that do not go together.
_REFUSALS = (ort_errors.InvalidArgument, ort_errors.Fail)


class Graph:
    """A session whose memory does not creep and whose idle threads do not spin.

    Args:
        stored: where it lies, and its tensors.
        threads: cores one run may use.
        max_rows: most rows of one batch, if its own limit is not lower.

    Raises:
        ArtifactError: its tensors are not those of its configuration.
    """

    def __init__(self, stored: StoredGraph, threads: int, max_rows: int) -> None:
        self.name = stored.name
        self.max_rows = min(stored.max_batch_size, max_rows)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            stored.directory / GRAPH_FILE, options, providers=["CPUExecutionProvider"]
        )
        self.pads = _pads(self._session)
        self._outputs = list(stored.outputs)
        self._takes = frozenset(node.name for node in self._session.get_inputs())
        gives = frozenset(node.name for node in self._session.get_outputs())
        if not self._takes <= set(stored.inputs) or not set(stored.outputs) <= gives:
            raise ArtifactError(
                f"{self.name}: the graph takes {sorted(self._takes)}, gives {sorted(gives)}, "
                "which are not the tensors of its configuration"
            )

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a batch; inputs the graph does not use are left out.

        Raises:
            RefusedTensorsError: an operator cannot take these values.
            ModelNotReadyError: ONNX Runtime cannot run it.
        """
        used = {name: array for name, array in inputs.items() if name in self._takes}
        try:
            values = self._session.run(self._outputs, used)
        except _REFUSALS as error:
            _LOG.warning("%s refused its inputs: %s", self.name, error)
            raise RefusedTensorsError(f"{self.name} cannot take these values") from error
        except ENGINE_ERRORS as error:
            _LOG.error("%s failed: %s", self.name, error)
            raise ModelNotReadyError(f"the engine failed to run {self.name}") from error
        return dict(zip(self._outputs, values, strict=True))


def _pads(session: ort.InferenceSession) -> bool:
    """Whether no output has a length that is an input's, or that nobody knows."""
    lengths = {size for node in session.get_inputs() for size in node.shape[1:]}
    given = {size for node in session.get_outputs() for size in node.shape[1:]}
    return not any(size is None or (isinstance(size, str) and size in lengths) for size in given)
