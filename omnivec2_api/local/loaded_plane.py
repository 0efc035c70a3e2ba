"""A runtime with its data plane, for callers in the same process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from omnivec2.errors import ModelNotReadyError
from omnivec2.spec import Modality
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.input_values import FileValue, InputValue
from omnivec2_api.predictor import TaskAnswers
from service.decoding.decoder_pool import DecoderPool
from service.http.forms.json_requests import JsonRequests, PredictRequest
from service.http.request_forms import RequestReader
from service.pipeline.answers import Answer as PlaneAnswer
from service.pipeline.answers import RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.runtimes.embedded.heap import trim_heap
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings

_TRIM_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


class LoadedPlane:
    """A runtime with its data plane; its coroutines run in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runtime = EmbeddedRuntime(settings)
        self._decoders: DecoderPool | None = None
        self._plane: DataPlane | None = None
        self._trimming: asyncio.Task[None] | None = None

    @property
    def plane(self) -> DataPlane:
        """The data plane.

        Raises:
            ModelNotReadyError: It is closed.
        """
        if self._plane is None:
            raise ModelNotReadyError("the model is closed")
        return self._plane

    async def start(self) -> None:
        """Load the models and start the decoders, if files are decoded in processes.

        Raises:
            ArtifactError: Nothing in the repository can be served.
        """
        settings = self._settings
        await self._runtime.start()
        if settings.isolate_decoders and sys.platform == "linux":
            memory_bytes = settings.decoder_memory_mb * 2**20
            self._decoders = DecoderPool(
                settings.host_workers, memory_bytes, settings.decoder_seconds
            )
        self._plane = await asyncio.to_thread(
            DataPlane,
            self._runtime,
            settings.host_workers,
            2 * settings.inference_workers,
            self._decoders,
            settings.max_batch_token_pairs,
            settings.explanation_segments,
        )
        if self._decoders is not None:
            served = {head.spec.modality for head in self._plane.heads.values()}
            modalities = [modality for modality in Modality if modality in served]
            await asyncio.to_thread(self._decoders.start, modalities)
        self._trimming = asyncio.create_task(_trim_regularly())

    async def answer(
        self,
        modality: str,
        tasks: Sequence[str],
        value: InputValue,
        parameters: Mapping[str, Any],
        strict: bool,
    ) -> TaskAnswers:
        """Return the answers of several heads to one input; of one head, its own."""
        plane = self.plane
        heads = [plane.head(modality, task) for task in tasks]
        notes = RequestNotes(strict=strict or self._settings.strict_input)
        read = self._read(min(heads, key=lambda head: head.spec.limits.bytes), value)
        notes.add(read.notes)
        if len(heads) == 1:
            answer = await plane.predict(
                heads[0], read.inputs, parameters, batched=read.batched, notes=notes
            )
            return _task_answers(heads, [from_json(answer.body)], answer)
        answer = await plane.predict_tasks(
            heads, read.inputs, parameters, batched=read.batched, notes=notes
        )
        by_task = from_json(answer.body)
        return _task_answers(heads, [by_task[head.spec.task] for head in heads], answer)

    def _read(self, head: Head, value: InputValue) -> PredictRequest:
        """Read an input as the service reads one of a form, or one in JSON."""
        settings = self._settings
        if isinstance(value, FileValue):
            reader = RequestReader(
                head.preprocessor, head.spec.limits.bytes, settings.max_json_values
            )
            return reader.read_file(value.data, value.media_type)
        is_text = isinstance(value.value, str)
        nbytes = 4 * len(value.value) if isinstance(value.value, str) else sys.maxsize
        requests = JsonRequests(head.preprocessor, sys.maxsize)
        if isinstance(value.value, dict) and not is_text and list(value.value) == ["table"]:
            return requests.from_envelope(value.value, nbytes)
        return requests.from_inputs(value.value, {}, nbytes)

    async def close(self) -> None:
        """Finish what runs and free the models."""
        if self._trimming is not None:
            self._trimming.cancel()
        plane, self._plane = self._plane, None
        if plane is not None:
            await asyncio.to_thread(plane.close, _CLOSE_SECONDS)
        if self._decoders is not None:
            await asyncio.to_thread(self._decoders.close)
        await self._runtime.close()


def _task_answers(heads: Sequence[Head], values: Sequence[Any], answer: PlaneAnswer) -> TaskAnswers:
    notes = [note.to_json() for note in answer.notes]
    return {
        head.spec.task: make_answer(head.spec.route, head.spec.family, value, notes, model.version)
        for head, value, model in zip(heads, values, answer.models, strict=True)
    }


async def _trim_regularly() -> None:
    """Return the heap memory that decoding and inference have freed to the system, regularly."""
    while True:
        await asyncio.sleep(_TRIM_SECONDS)
        await asyncio.to_thread(trim_heap)
