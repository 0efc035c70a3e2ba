"""Loading and running models of a running Triton through its model control API.

That API belongs on a private address: any client that reaches it can unload everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from omnivec2.arrays import Array, Batch
from omnivec2.errors import ArtifactError, ExportError

_SECONDS = 120.0


class TritonControl:
    """A Triton server that was started with ``--model-control-mode=explicit``.

    Args:
        address: The host and port of its gRPC service.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = InferenceServerClient(address)

    def check(self) -> None:
        """Check that the server is live.

        Raises:
            ArtifactError: The server does not answer, or is not live.
        """
        try:
            alive = self._client.is_server_live(client_timeout=_SECONDS)
        except InferenceServerException as error:
            raise ArtifactError(f"no Triton server at {self.address}: {error.message()}") from error
        if not alive:
            raise ArtifactError(f"the Triton server at {self.address} is not live")

    def load(self, name: str) -> None:
        """Load a model from the repository, or reload it if it changed.

        Raises:
            ExportError: Triton refuses it; what was loaded before stays.
        """
        try:
            self._client.load_model(name, client_timeout=_SECONDS)
        except InferenceServerException as error:
            raise ExportError(
                f"Triton at {self.address} refuses {name}: {_reason(error)}"
            ) from error

    def unload(self, name: str) -> None:
        """Unload a model; nothing happens if it is not loaded.

        Raises:
            ExportError: Triton refuses.
        """
        try:
            self._client.unload_model(name, client_timeout=_SECONDS)
        except InferenceServerException as error:
            raise ExportError(
                f"Triton at {self.address} does not unload {name}: {_reason(error)}"
            ) from error

    def infer(self, name: str, version: int, inputs: Batch, outputs: Sequence[str]) -> list[Array]:
        """Run a batch through one version of a model.

        Raises:
            ExportError: The server does not answer.
        """
        tensors = []
        for tensor, array in inputs.items():
            given = InferInput(tensor, list(array.shape), np_to_triton_dtype(array.dtype))
            given.set_data_from_numpy(array)
            tensors.append(given)
        try:
            answer = self._client.infer(
                name,
                tensors,
                model_version=str(version),
                outputs=[InferRequestedOutput(output) for output in outputs],
                client_timeout=_SECONDS,
            )
        except InferenceServerException as error:
            raise ExportError(
                f"Triton at {self.address} does not run {name}: {_reason(error)}"
            ) from error
        return [answer.as_numpy(output) for output in outputs]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _reason(error: InferenceServerException) -> str:
    """Return the first line of Triton's message; a backend's traceback follows."""
    lines = [line for line in str(error.message()).splitlines() if line.strip()]
    return lines[0] if lines else str(error.status())
