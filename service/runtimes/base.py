"""The protocol of a runtime, which runs the network for the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from omnivec2.canary.canary_state import base_name
from omnivec2.errors import ModelNotReadyError
from omnivec2.familiarity import Familiarity
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from omnivec2.spec import Generation, HeadSpec


@dataclass(frozen=True)
class Execution:
    """How a head is computed in this process.

    Attributes:
        engine: The name of the engine.
        precision: The precision that the engine computes in.
        gate_points: The distance of its answers from the network's in float32, in points of the
            head's metric, over the real inputs of the head's accuracy gate; None without a gate.
        tolerance_points: The largest distance that is allowed; None without a gate.
        rejected: The faster options that fail the gate of this head: name -> reason.
    """

    engine: str
    precision: str
    gate_points: float | None = None
    tolerance_points: float | None = None
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded head. A new version of it is another object.

    Attributes:
        spec: The head spec.
        version: The version of its files.
        steps: The parts it consists of, in order; none in the fused layout.
        execution: The engine that computes it; None if another server decides that.
        familiarity: The measure of how far inputs are from its training data, if there is one.
    """

    spec: HeadSpec
    version: str = "1"
    steps: tuple[Step, ...] = ()
    execution: Execution | None = None
    familiarity: Familiarity | None = None

    @property
    def name(self) -> str:
        """The model's name in its repository, ``<modality>_<task>``."""
        return self.spec.name

    @property
    def summaries(self) -> tuple[str, ...]:
        """The tensors of the trunk that are handed out beside the outputs of the head spec."""
        return () if self.familiarity is None else self.familiarity.summaries

    @property
    def output_names(self) -> list[str]:
        """The names of all tensors that a runtime returns."""
        return [*(tensor.name for tensor in self.spec.outputs), *self.summaries]

    @property
    def head_name(self) -> str:
        """The name that callers know: that of the head, also if this is its candidate."""
        return base_name(self.spec.name)


def generation_of(model: Model) -> Generation:
    """Return how a model generates text.

    Raises:
        ModelNotReadyError: It generates none.
    """
    if model.spec.generation is None:
        raise ModelNotReadyError(f"{model.name} has no decoder")
    return model.spec.generation


@dataclass(frozen=True)
class Inference:
    """One answer of the network.

    Attributes:
        outputs: The output tensors: name -> array (batch, ...).
        queue_seconds: The time spent waiting for a worker.
        compute_seconds: The time of the batch in which the rows were computed.
        work_seconds: The rows' share of that time; None if it is not known.
    """

    outputs: Mapping[str, Array]
    queue_seconds: float
    compute_seconds: float
    work_seconds: float | None = None

    @property
    def own_seconds(self) -> float:
        """The time that the rows took, without the others of their batch, if that is known."""
        return self.compute_seconds if self.work_seconds is None else self.work_seconds


@dataclass(frozen=True)
class Health:
    """The state of a runtime.

    Attributes:
        ready: Whether it answers.
        detail: The reason if it does not.
        refused: The models that it does not serve: name -> reason.
        slower: The models that a faster engine may not run: name -> reasons.
    """

    ready: bool
    detail: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    slower: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupMember:
    """One of several gateway processes.

    Attributes:
        place: Its index; a replacement has the same.
        directory: The directory of the group's sockets.
        runtime: A runtime whose models were loaded before the process was forked; None to load
            them in the process.
    """

    place: int
    directory: Path
    runtime: Runtime | None = None


class Runtime(Protocol):
    """Runs the exported graphs of the loaded models."""

    async def start(self) -> None:
        """Load the models, or find them.

        Raises:
            ArtifactError: Nothing can be served.
            ModelNotReadyError: Nothing can be served yet; call again later.
        """

    def models(self) -> Mapping[str, Model]:
        """Return the loaded models by name: none until started.

        The mapping is replaced when they change, and never modified.
        """

    async def refresh(self) -> bool:
        """Poll for new, changed and removed models; return whether ``models`` has changed."""

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch.

        Args:
            model: One of ``models``, of now or of a moment ago.
            inputs: The input tensors: name -> array (batch, ...), at most ``max_batch_size`` rows.

        Raises:
            OverloadedError: Too many rows are waiting.
            StaleModelError: Another version has replaced the model.
            RefusedTensorsError: The engine cannot take these values.
            ModelNotReadyError: The model was removed, or the engine failed.
            DeadlineExceededError: The deadline has passed.
        """

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run one batch through several models that take the same inputs.

        Steps that the models have in common run once. Errors are those of ``infer``.
        """

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run one step of the decoder of a model that generates text. Errors as in ``infer``.

        Args:
            model: A model whose spec has ``generation``, which names the tensors.
            inputs: The decoder's tensors: name -> array (batch, ...), each row its own search.
        """

    async def health(self) -> Health:
        """Return the current state."""

    async def close(self) -> None:
        """Finish running batches, reject waiting ones and free the models.

        Raises:
            ModelNotReadyError: A batch does not finish; its thread and its graphs are left behind.
        """
