"""What the gateway asks of whatever runs the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omnivec2.errors import ModelNotReadyError
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from omnivec2.spec import Generation, HeadSpec


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded modality-task. A new version of it is another object.

    Attributes:
        spec: what it does.
        version: of its files.
        steps: the parts it is put together from, in order; none in the fused layout.
    """

    spec: HeadSpec
    version: str = "1"
    steps: tuple[Step, ...] = ()

    @property
    def name(self) -> str:
        """The model's name in its repository, ``<modality>_<task>``."""
        return self.spec.name


def generation_of(model: Model) -> Generation:
    """How a model's text is written.

    Raises:
        ModelNotReadyError: it writes none.
    """
    if model.spec.generation is None:
        raise ModelNotReadyError(f"{model.name} has no decoder")
    return model.spec.generation


@dataclass(frozen=True)
class Inference:
    """One answer of the network.

    Attributes:
        outputs: name -> array (batch, ...).
        queue_seconds: time spent waiting for a worker.
        compute_seconds: time of the batch the rows were computed in.
        work_seconds: the rows' share of that time; None if it is not known.
    """

    outputs: Mapping[str, Array]
    queue_seconds: float
    compute_seconds: float
    work_seconds: float | None = None

    @property
    def own_seconds(self) -> float:
        """Time that the rows took, without those that they met in the batch, if it is known."""
        return self.compute_seconds if self.work_seconds is None else self.work_seconds


@dataclass(frozen=True)
class Health:
    """Whether the runtime answers, and which models it would not load and why."""

    ready: bool
    detail: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


class Runtime(Protocol):
    """Runs the exported graphs of the loaded models."""

    async def start(self) -> None:
        """Load the models, or find them.

        Raises:
            ArtifactError: there is nothing that can be served.
            ModelNotReadyError: not yet; to be called again.
        """

    def models(self) -> Mapping[str, Model]:
        """Name -> loaded model, as of now. Empty until started; replaced, never changed."""

    async def refresh(self) -> bool:
        """Look for models that came, changed or went; whether ``models`` says otherwise now."""

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch.

        Args:
            model: one of ``models``, of now or of a moment ago.
            inputs: tensor name -> array (batch, ...), at most ``max_batch_size`` rows.

        Raises:
            OverloadedError: too many rows are waiting.
            StaleModelError: another version has taken the model's place.
            RefusedTensorsError: the engine cannot take these values.
            ModelNotReadyError: the model went, or the engine failed.
            DeadlineExceededError: the time allowed has passed.
        """

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run one batch through several models that take the same inputs.

        Steps that the models have in common run once.

        Raises:
            as ``infer`` does.
        """

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch through the decoder of a model that writes text: one step.

        Args:
            model: its spec has ``generation``, which names the tensors.
            inputs: tensor name -> array (batch, ...), every row a search of its own.

        Raises:
            as ``infer`` does.
        """

    async def health(self) -> Health:
        """The state now."""

    async def close(self) -> None:
        """Finish what runs, drop what waits, free the models."""
