"""What a request means, without HTTP: decode, prepare, infer, post-process.

::

    RawInput ─ decode ─► native ─ prepare ─► samples ─ collate ─► Runtime ─ post-process ─► JSON
    └───────────── host threads ─────────────────────────┘         └──── host threads ────┘
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import JsonValue
from pydantic_core import to_json

from omnivec2.errors import InputError, InvalidParameterError, UnknownModelError
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import Array, preprocessor_for
from service.runtimes.base import Model, Runtime
from service.stages import (
    Head,
    RawInput,
    Ready,
    check_count,
    check_finite,
    check_parameters,
    collate_range,
    is_quick,
    postprocess,
    prepare,
)

T = TypeVar("T")


@dataclass
class Timings:
    """Seconds spent per stage, added up over the inputs of a request.

    Written by the event loop's thread only.
    """

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    postprocess: float = 0.0


@dataclass(frozen=True)
class Answer:
    """The body of a response (JSON), who gave it, and how long each stage took."""

    body: bytes
    model: Model
    timings: Timings


class DataPlane:
    """Answers inputs with the models of a runtime.

    Args:
        runtime: started; its models are read once.
        host_workers: threads that decode, prepare and post-process.
        chunks_ahead: batches of one input under way at the same time: enough to keep
            every worker busy, few enough that a large input is never wholly in memory.

    Raises:
        ArtifactError: a model wants another version of its pre-processor.
    """

    def __init__(self, runtime: Runtime, host_workers: int, chunks_ahead: int = 4) -> None:
        self._runtime = runtime
        self._chunks_ahead = chunks_ahead
        self._pool = ThreadPoolExecutor(host_workers, "host")
        self.heads = {
            model.spec.route: Head(
                model, preprocessor_for(model.spec), postprocessor_for(model.spec.family)
            )
            for model in runtime.models().values()
        }

    def head(self, modality: str, task: str) -> Head:
        """The head of a route.

        Raises:
            UnknownModelError: it is not loaded; ``known`` says what is.
        """
        if head := self.heads.get(f"{modality}/{task}"):
            return head
        tasks = [r for r, head in self.heads.items() if head.spec.modality.value == modality]
        if tasks:
            message = f"{modality} has no task {task!r}; loaded are {', '.join(sorted(tasks))}"
            raise UnknownModelError(message, known=sorted(tasks))
        modalities = sorted({head.spec.modality.value for head in self.heads.values()})
        message = f"no modality {modality!r} is loaded; loaded are {', '.join(modalities)}"
        raise UnknownModelError(message, known=sorted(self.heads))

    async def predict(
        self,
        head: Head,
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
    ) -> Answer:
        """Answer the inputs of one request.

        Args:
            head: whom to ask.
            inputs: at least one.
            parameters: of the task's family; unknown ones are errors.
            batched: whether the answer is a list of answers.

        Raises:
            InputError: an input or a parameter is wrong; ``field`` says which.
            OverloadedError: too much is waiting.
            ModelNotReadyError: the engine failed.
        """
        checked = check_parameters(head.postprocessor, parameters)
        check_count(len(inputs), head.spec)
        timings = Timings()
        calls = [
            self._answer(head, raw, checked, timings, index if batched else None)
            for index, raw in enumerate(inputs)
        ]
        results = [await calls[0]] if len(calls) == 1 else await _all(calls)
        body = head.postprocessor.combine(results, batched=batched, spec=head.spec)
        return Answer(to_json(body, inf_nan_mode="null"), head.model, timings)

    def close(self) -> None:
        """Stop the host threads; what they run is finished, what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _answer(
        self,
        head: Head,
        raw: RawInput,
        parameters: Any,
        timings: Timings,
        index: int | None,
    ) -> JsonValue:
        try:
            ready = await self._host(timings, partial(prepare, head, raw))
            timings.decode += ready.decode_seconds
            timings.preprocess += ready.preprocess_seconds
            outputs = await self._infer(head, ready, timings)
            check_finite(outputs)
            finish = partial(postprocess, head, outputs, ready.prepared.context, parameters)
            quick = is_quick(head, outputs)
            result, seconds = finish() if quick else await self._host(timings, finish)
            timings.postprocess += seconds
            return result
        except InputError as error:
            if index is not None and not isinstance(error, InvalidParameterError):
                error.field = f"inputs[{index}]{(error.field or '').removeprefix('inputs')}"
            raise

    async def _infer(self, head: Head, ready: Ready, timings: Timings) -> Mapping[str, Array]:
        if ready.batch is not None:
            return await self._run(head, ready.batch, timings)
        samples, size = ready.prepared.samples, head.spec.max_batch_size
        gate = asyncio.Semaphore(self._chunks_ahead)

        async def chunk(start: int) -> Mapping[str, Array]:
            async with gate:
                stop = min(start + size, len(samples))
                batch = await self._host(timings, partial(collate_range, samples, start, stop))
                return await self._run(head, batch, timings)

        parts = await _all([chunk(start) for start in range(0, len(samples), size)])
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    async def _run(
        self, head: Head, batch: Mapping[str, Array], timings: Timings
    ) -> Mapping[str, Array]:
        inference = await self._runtime.infer(head.model, batch)
        timings.queue += inference.queue_seconds
        timings.compute += inference.compute_seconds
        return inference.outputs

    async def _host(self, timings: Timings, call: Callable[[], T]) -> T:
        """Run in a host thread; the wait for one counts as queueing."""
        submitted = time.perf_counter()

        def run() -> tuple[float, T]:
            return time.perf_counter() - submitted, call()

        waited, result = await asyncio.get_running_loop().run_in_executor(self._pool, run)
        timings.queue += waited
        return result


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
