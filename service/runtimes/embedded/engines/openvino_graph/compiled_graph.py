"""A graph in the form that OpenVINO runs, for batches of any size or of a single one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov

from omnivec2.errors import RefusedTensorsError
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.openvino_graph.float_weights import FloatWeights
from service.runtimes.embedded.engines.openvino_graph.index_check import OUT_OF_RANGE
from service.runtimes.embedded.engines.openvino_graph.inference_requests import (
    InferenceRequests,
    RecentGraphs,
)

_FIRST_RUNS = 4
"""Runs per stream after which all weights are in the layout of the kernels."""


class CompiledGraph:
    """Runs a compiled graph in OpenVINO's own threads.

    Args:
        compiled: The compiled graph.
        weights: The weights it was compiled from.
        wanted: The names of the outputs.
        checks_indices: Whether it says that an index lies outside of its table.
        streams: The number of batches that it computes at the same time.
        recent: The graphs of the engine that ran last.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        weights: FloatWeights,
        wanted: Sequence[str],
        *,
        checks_indices: bool,
        streams: int,
        recent: RecentGraphs,
    ) -> None:
        self.compiled = compiled
        self._weights = weights
        self._wanted = wanted
        self._checks_indices = checks_indices
        self._first_runs = _FIRST_RUNS * streams
        self._requests = InferenceRequests(compiled, recent)
        weights.release_pages()

    def run(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a batch.

        Args:
            tensors: The inputs: name -> array (batch, ...), contiguous, writable and of its type.

        Returns:
            The outputs: name -> array (batch, ...).

        Raises:
            RefusedTensorsError: An index lies outside of its table.
            ModelNotReadyError: The graph was closed.
            RuntimeError: OpenVINO failed.
        """
        try:
            with self._requests.acquire() as request:
                for name, array in tensors.items():
                    request.set_tensor(name, ov.Tensor(array, shared_memory=True))
                # In OpenVINO's own threads: those of callers may have to share a stream.
                request.start_async()
                request.wait()
                if self._checks_indices and request.get_tensor(OUT_OF_RANGE).data.any():
                    raise RefusedTensorsError("an index lies outside of its table")
                return {name: np.array(request.get_tensor(name).data) for name in self._wanted}
        finally:
            if self._first_runs > 0:
                self._first_runs -= 1
                self._weights.release_pages()

    def close(self) -> None:
        """Free the graph once its last run has ended."""
        self._requests.close()
