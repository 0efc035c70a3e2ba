"""What the gateway asks of whatever runs the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec


@dataclass(frozen=True)
class Model:
    """A loaded modality-task: its spec and the version of its files."""

    spec: HeadSpec
    version: str = "1"

    @property
    def name(self) -> str:
        """The model's name in its repository, ``<modality>_<task>``."""
        return self.spec.name


@dataclass(frozen=True)
class Inference:
    """One answer of the network.

    Attributes:
        outputs: name -> array (batch, ...).
        queue_seconds: time spent waiting for a worker.
        compute_seconds: time of the batch the rows were computed in.
    """

    outputs: Mapping[str, Array]
    queue_seconds: float
    compute_seconds: float


@dataclass(frozen=True)
class Health:
    """Whether the runtime answers, and which models it would not load and why."""

    ready: bool
    detail: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


class Runtime(Protocol):
    """Runs the exported graphs of the loaded models."""

    async def start(self) -> None:
        """Load the models; callable once.

        Raises:
            ArtifactError: there is nothing that can be served.
        """

    def models(self) -> Mapping[str, Model]:
        """Name -> loaded model. Empty until started."""

    async def infer(self, name: str, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch.

        Args:
            name: a loaded model's name.
            inputs: tensor name -> array (batch, ...), at most ``max_batch_size`` rows.

        Raises:
            OverloadedError: too many rows are waiting.
            ModelNotReadyError: the engine failed.
        """

    async def health(self) -> Health:
        """The state now."""

    async def close(self) -> None:
        """Finish what runs, drop what waits, free the models."""
