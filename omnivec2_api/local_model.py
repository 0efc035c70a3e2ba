"""A network in this process, without a server: ``omnivec2.load``."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic_core import from_json

from omnivec2.errors import ModelNotReadyError, OmniVecError
from omnivec2.spec import Modality
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.head_info import HeadInfo, make_head_info
from omnivec2_api.input_values import FileValue, InputValue, read_input
from omnivec2_api.predictor import Predictor, TaskAnswers, checked_parameters, failed_future
from omnivec2_api.repository_cache import find_repository
from service.decoding.decoder_pool import DecoderPool
from service.http.forms.json_requests import JsonRequests, PredictRequest
from service.http.request_forms import RequestReader
from service.http.routes.model_list import describe
from service.pipeline.answers import Answer as PlaneAnswer
from service.pipeline.answers import RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.runtimes.embedded.heap import trim_heap
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings

T = TypeVar("T")

_UNLIMITED_ROWS = 2**31
"""Samples that may wait for a worker: callers wait for their answers, so that nothing piles up."""

_INPUTS_PER_WORKER = 32
"""Inputs of a batch that are under way for each worker: enough to fill its batches."""

_LEAST_CONCURRENCY = 64
_TRIM_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


def load(
    source: str | PathLike[str] = "checkpoints/reference",
    *,
    only: str | Sequence[str] = (),
    layout: Literal["shared", "fused"] | None = None,
    engine: str | None = None,
    precision: Literal["auto", "fp32", "bf16", "int8"] | None = None,
    threads: int | None = None,
    isolate_decoders: bool = False,
) -> Model:
    """Load a network into this process, with the engines and the preprocessing of the service.

    Neither PyTorch nor a server is needed. Settings that are not given here are those of
    ``omnivec2 serve``: from ``OMNIVEC2_…`` in the environment, or the defaults.

    Args:
        source: The directory of an exported checkpoint, or a model repository.
        only: The names of the heads to load, such as ``["image/classification"]``, or one name; all
            if empty.
        layout: The layout of a checkpoint's repository: one trunk for all heads, or one each.
        engine: The engine that runs the graphs; by default the fastest that answers like the
            network.
        precision: The precision to compute in.
        threads: The number of batches computed at the same time; by default one per core.
        isolate_decoders: Whether files are decoded in processes of their own, so that one that
            crashes its decoder costs its own answer only. For files of strangers.

    Raises:
        ArtifactError: The directory holds nothing that can be served here.
    """
    given = {
        "only": ((only,) if isinstance(only, str) else tuple(only)) or None,
        "engine": engine,
        "engine_precision": precision,
        "inference_threads": threads,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = Settings(runtime="embedded", required=(), max_queue_rows=_UNLIMITED_ROWS, **chosen)
    repository = find_repository(Path(source).expanduser(), settings.cache_directory, layout)
    return Model(
        settings.model_copy(update={"model_repo": repository, "isolate_decoders": isolate_decoders})
    )


def open_repository(repository: Path, only: Sequence[str]) -> Model:
    """Load heads of a model repository with the settings of the service, isolation included.

    Raises:
        ArtifactError: Nothing in the repository can be served here.
    """
    return Model(batch_settings(only).model_copy(update={"model_repo": repository}))


def batch_settings(only: Sequence[str]) -> Settings:
    """Return the settings of the service for many inputs that wait for each other.

    Args:
        only: The names of the heads to load.
    """
    settings = Settings(runtime="embedded", only=tuple(only), required=())
    return settings.model_copy(update={"max_queue_rows": _UNLIMITED_ROWS})


class Model(Predictor):
    """A loaded network. Close it, or use it in a ``with`` block; see ``load``.

    Args:
        settings: The settings of the runtime, as for the gateway.

    Raises:
        ArtifactError: Nothing in the repository can be served.
    """

    def __init__(self, settings: Settings) -> None:
        self._loop = _LoopThread()
        self._plane = _LoadedPlane(settings)
        self._settings = settings
        # What a caller forgets to close is closed with the object, except at the very end, when
        # threads are gone.
        self._finalizer = weakref.finalize(self, _close, self._loop, self._plane)
        self._finalizer.atexit = False
        try:
            self._loop.call(self._plane.start())
        except BaseException:
            self.close()
            raise

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The loaded heads, by their names ``<modality>/<task>``."""
        heads = self._plane.plane.heads
        return {route: make_head_info(describe(heads[route])) for route in sorted(heads)}

    @property
    def concurrency(self) -> int:
        """The number of inputs of a batch that are under way at the same time by default."""
        return max(_LEAST_CONCURRENCY, _INPUTS_PER_WORKER * self._settings.inference_workers)

    def submit(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
    ) -> Future[TaskAnswers]:
        """Start to answer one input; see ``Predictor.submit``."""
        try:
            read = read_input(modality, value)
            work = self._plane.answer(modality, tasks, read, checked_parameters(parameters), strict)
        except OmniVecError as error:
            return failed_future(error)
        return self._loop.submit(work)

    def close(self) -> None:
        """Finish what runs and free the models; closing again does nothing."""
        self._finalizer()


class _LoopThread:
    """An event loop in a thread of its own, for callers that have none, or a busy one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="omnivec2-loop", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and wait for its result."""
        return self.submit(work).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the loop.

        Raises:
            ModelNotReadyError: The loop was stopped.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise ModelNotReadyError("the model is closed") from error

    @property
    def is_current(self) -> bool:
        """Whether this is the thread of the loop."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


class _LoadedPlane:
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


def _close(loop: _LoopThread, plane: _LoadedPlane) -> None:
    if loop.is_current:  # the garbage collector runs in any thread, and this one cannot wait
        loop.submit(plane.close())
        return
    try:
        loop.call(plane.close())
    finally:
        loop.stop()
