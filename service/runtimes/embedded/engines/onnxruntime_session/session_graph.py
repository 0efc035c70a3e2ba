"""What graphs of ONNX Runtime have in common, on whatever device their sessions run."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import PASSPORT_FILE
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.base import Shape
from service.runtimes.embedded.repository_reader import StoredGraph

_LOG = logging.getLogger(__name__)

# What operators raise at an index outside of a table, and at sizes that do not go together.
_REFUSALS = (ort_errors.InvalidArgument, ort_errors.Fail)


class SessionGraph(ABC):
    """A graph in a session of ONNX Runtime.

    Args:
        stored: The graph.
        session: A session on its file.

    Attributes:
        inputs: The shapes of the inputs, by name.
        outputs: The shapes of the outputs, by name.
        memory_bytes: The size of the graph and its weights on the disk. ONNX Runtime does not
            tell what it allocates.
        failures: The exceptions that running may raise.
    """

    failures: tuple[type[Exception], ...] = ENGINE_ERRORS

    def __init__(self, stored: StoredGraph, session: ort.InferenceSession) -> None:
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
        session = self._session
        if session is None:
            raise ModelNotReadyError(f"{self._name} is not loaded any more")
        try:
            values = self._compute(session, inputs)
        except self.failures as error:
            if isinstance(error, _REFUSALS) and not self._is_fault_of_device(error):
                _LOG.warning("%s refused its inputs: %s", self._name, error)
                raise RefusedTensorsError(f"{self._name} cannot take these values") from error
            _LOG.error("%s failed: %s", self._name, error)
            raise ModelNotReadyError(f"the engine failed to run {self._name}") from error
        return dict(zip(self._wanted, values, strict=True))

    def close(self) -> None:
        """Free the session; see ``LoadedGraph.close``."""
        self._session = None

    @abstractmethod
    def _compute(
        self, session: ort.InferenceSession, inputs: Mapping[str, Array]
    ) -> Sequence[Array]:
        """Return the wanted outputs for a batch."""

    def _is_fault_of_device(self, error: Exception) -> bool:
        """Whether an error that looks like a refusal of values is one of the device."""
        return False
