"""A runtime and a pre-processor small enough to see through, for the gateway's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from omnivec2.errors import ModelNotReadyError, StaleModelError, UndecodableError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import Array, Prepared, Preprocessor
from omnivec2.preprocess.base import Parameters
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec, TaskFamily, TensorSpec
from service.pipeline.host_stages import Head
from service.request_context import REQUEST, RequestContext
from service.runtimes.base import Health, Inference, Model

LETTERS = TensorSpec(name="letters", dtype="float32", shape=(1,))


class LettersPreprocessor(Preprocessor[Parameters, bytes]):
    """One sample per byte: its code. A ``!`` cannot be decoded."""

    modality = Modality.IMAGE
    media_types: ClassVar[dict[str, str]] = {"text/letters": "letters"}
    parameters_type = Parameters
    default_limits = Limits(bytes=1000, inputs=4)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (LETTERS,)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        return {"letters": rng.integers(97, 123, (batch, 1))}

    def decode(self, data: bytes, media_type: str | None = None) -> bytes:
        if b"!" in data:
            raise UndecodableError("expected letters", field="inputs")
        return data

    def prepare(self, native: bytes) -> Prepared:
        return Prepared([{"letters": np.array([code], np.float32)} for code in native])

    def sniff(self, data: bytes) -> str | None:
        return "text/letters" if data.isalpha() else None


class JsonLettersPreprocessor(LettersPreprocessor):
    """Takes JSON documents too: a string of letters."""

    media_types: ClassVar[dict[str, str]] = {
        "text/letters": "letters",
        "application/json": "JSON",
    }

    def decode_json(self, value: object) -> bytes:
        return str(value).encode()


def letters_spec(**fields: object) -> HeadSpec:
    """A head that embeds letters."""
    values = {
        "modality": Modality.IMAGE,
        "task": "embedding",
        "family": TaskFamily.EMBEDDING,
        "inputs": (LETTERS,),
        "outputs": (TensorSpec(name="embedding", dtype="float32", shape=(2,)),),
        "preprocess": PreprocessSpec(name=Modality.IMAGE, version=1),
        "limits": LettersPreprocessor.default_limits,
        "max_batch_size": 4,
        "network": "tiny",
        **fields,
    }
    return HeadSpec.model_validate(values)


class RecordingMeter:
    """A ``WorkMeter`` that keeps what it was given."""

    def __init__(self) -> None:
        self.inputs: list[int] = []
        self.tokens: list[int] = []
        self.seconds: list[float] = []

    def expect_inputs(self, count: int) -> None:
        self.inputs.append(count)

    def record_tokens(self, tokens: int) -> None:
        self.tokens.append(tokens)

    def record_seconds(self, seconds: float) -> None:
        self.seconds.append(seconds)


class FakeRuntime:
    """Answers every row with (its value, 1); remembers what it was asked.

    Attributes:
        batches: The first values of the rows of every batch.
        together: The names of the models that were asked together.
        contexts: The request that each batch belonged to.
        looks: The number of times that it was told to look for other models.
        upcoming: The models that it finds at the next look; asking for others is stale then.
    """

    def __init__(self, *specs: HeadSpec, delay_seconds: float = 0.0) -> None:
        self._models = {spec.name: Model(spec, "7") for spec in specs}
        self._delay_seconds = delay_seconds
        self.batches: list[list[float]] = []
        self.together: list[list[str]] = []
        self.contexts: list[RequestContext] = []
        self.looks = 0
        self.upcoming: dict[str, Model] | None = None
        self.health_now = Health(True)
        self.failure: Exception | None = None

    async def start(self) -> None:
        if self.failure is not None:
            raise self.failure

    def models(self) -> Mapping[str, Model]:
        return self._models

    async def refresh(self) -> bool:
        self.looks += 1
        changed = self.upcoming is not None
        self._models, self.upcoming = self.upcoming or self._models, None
        return changed

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        self.together.append([model.name for model in models])
        return [await self.infer(model, inputs) for model in models]

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        self.contexts.append(REQUEST.get())
        await asyncio.sleep(self._delay_seconds)
        current = self._models if self.upcoming is None else self.upcoming
        if current.get(model.name) is not model:
            raise StaleModelError(f"{model.name} has been replaced")
        values = next(iter(inputs.values()))
        flat = values.reshape(len(values), -1)[:, :1].astype(np.float32)
        self.batches.append(flat[:, 0].tolist())
        outputs = {
            tensor.name: np.resize(
                np.hstack([flat, np.ones_like(flat)]), (len(flat), *tensor.shape)
            )
            for tensor in model.spec.outputs
        }
        return Inference(outputs, 0.25, 0.5)

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        raise ModelNotReadyError(f"{model.name} has no decoder, so {sorted(inputs)} go nowhere")

    async def health(self) -> Health:
        return self.health_now

    async def close(self) -> None:
        self._models = {}


def letters_head(
    runtime: FakeRuntime, kind: type[LettersPreprocessor] = LettersPreprocessor
) -> Head:
    """The first model of a runtime as a head that takes letters."""

    model = next(iter(runtime.models().values()))
    return Head(model, kind(Parameters(), model.spec.limits), postprocessor_for(model.spec.family))
