"""What a request means, without HTTP: decode, prepare, infer, post-process.

::

    RawInput ─ decode ─► native ─ prepare ─► samples ─ collate ─► Runtime ─ post-process ─► JSON
    └───────────── host threads ─────────────────────────┘         └──── host threads ────┘
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from pydantic import JsonValue
from pydantic_core import to_json

from omnivec2.errors import InputError, InvalidParameterError, StaleModelError
from omnivec2.preprocess import Array
from service.admission.cost_model import tokens_of, tokens_of_sample
from service.pipeline.concurrency import gather_or_cancel
from service.pipeline.host_stages import (
    Head,
    RawInput,
    Ready,
    check_count,
    check_finite,
    collate_range,
    is_quick,
    postprocess,
    prepare,
)
from service.pipeline.served_heads import Heads
from service.pipeline.task_requests import Asked, alike, ask_one, ask_tasks
from service.pipeline.text_generation import Writer
from service.request_context import REQUEST
from service.runtimes.base import Model, Runtime
from service.server.thread_priorities import give_way

T = TypeVar("T")

Ask = Callable[[Sequence[Head]], list[Asked]]


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

    def add(self, stage: str, started: float, seconds: float) -> None:
        """Add to a stage, and tell the trace of it.

        Args:
            stage: one of the fields.
            started: ``time.perf_counter()`` at the start.
            seconds: spent.
        """
        setattr(self, stage, getattr(self, stage) + seconds)
        if spans := REQUEST.get().spans:
            spans.record_stage(stage, started, seconds)


@dataclass(frozen=True)
class Answer:
    """The body of a response (JSON), who gave it, and how long each stage took."""

    body: bytes
    models: Sequence[Model]
    timings: Timings

    @property
    def model(self) -> Model:
        """Who gave the answer, where it was one head."""
        return self.models[0]


class DataPlane:
    """Answers inputs with the models of a runtime.

    Args:
        runtime: started.
        host_workers: threads that decode, prepare and post-process.
        chunks_ahead: batches of one input under way at the same time: enough to keep
            every worker busy, few enough that a large input is never wholly in memory.

    Attributes:
        served: the heads of the runtime's models.
    """

    def __init__(self, runtime: Runtime, host_workers: int, chunks_ahead: int = 4) -> None:
        self._runtime = runtime
        self._chunks_ahead = chunks_ahead
        self._pool = ThreadPoolExecutor(host_workers, "host", initializer=give_way)
        self.served = Heads(runtime)
        self._writer = Writer(runtime)

    @property
    def heads(self) -> Mapping[str, Head]:
        """Route -> head, as of now."""
        return self.served.by_route

    def head(self, modality: str, task: str) -> Head:
        """The head of a route; see ``Heads.head``."""
        return self.served.head(modality, task)

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
        ask = partial(ask_one, parameters=parameters)
        heads, bodies, timings = await self._predict([head], inputs, ask, batched)
        return Answer(_json(bodies[0]), [head.model for head in heads], timings)

    async def predict_tasks(
        self,
        heads: Sequence[Head],
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
    ) -> Answer:
        """Answer the inputs of one request with several heads of a modality: task -> answer.

        Heads with the same pre-processing decode an input once and ask the runtime once.

        Args:
            heads: whom to ask; each once.
            inputs: at least one.
            parameters: of every head, or task -> those of its head.
            batched: whether the answers are lists of answers.

        Raises:
            as ``predict`` does.
        """
        ask = partial(ask_tasks, parameters=parameters)
        heads, bodies, timings = await self._predict(heads, inputs, ask, batched)
        by_task = {head.spec.task: body for head, body in zip(heads, bodies, strict=True)}
        return Answer(_json(by_task), [head.model for head in heads], timings)

    def close(self) -> None:
        """Stop the host threads; what they run is finished, what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _predict(
        self, heads: Sequence[Head], inputs: Sequence[RawInput], ask: Ask, batched: bool
    ) -> tuple[Sequence[Head], list[JsonValue], Timings]:
        """Who answered, an answer of each, and the time it took; asked again after a swap."""
        timings = Timings()
        try:
            return heads, await self._bodies(ask(heads), inputs, batched, timings), timings
        except StaleModelError:
            found = [await self.served.successor(head.model) for head in heads]
            if not any(found):
                raise
            renewed = [new or old for new, old in zip(found, heads, strict=True)]
        return renewed, await self._bodies(ask(renewed), inputs, batched, timings), timings

    async def _bodies(
        self, asked: Sequence[Asked], inputs: Sequence[RawInput], batched: bool, timings: Timings
    ) -> list[JsonValue]:
        """The answer of each head."""
        for one in asked:
            check_count(len(inputs), one.head.spec)
        groups = alike(asked)
        calls = [
            self._answer(group, raw, timings, index if batched else None)
            for group in groups
            for index, raw in enumerate(inputs)
        ]
        REQUEST.get().work.expect_inputs(len(calls))
        rows = iter([await calls[0]] if len(calls) == 1 else await gather_or_cancel(calls))
        results: dict[str, list[JsonValue]] = {}
        for group in groups:
            columns = zip(*(next(rows) for _ in inputs), strict=True)
            results |= {
                one.head.spec.task: list(column) for one, column in zip(group, columns, strict=True)
            }
        return [
            one.head.postprocessor.combine(
                results[one.head.spec.task], batched=batched, spec=one.head.spec
            )
            for one in asked
        ]

    async def _answer(
        self, asked: Sequence[Asked], raw: RawInput, timings: Timings, index: int | None
    ) -> list[JsonValue]:
        """Answers of heads that are alike to one input."""
        try:
            size = min(one.head.spec.max_batch_size for one in asked)
            preprocessor = asked[0].head.preprocessor
            ready = await self._host(timings, partial(prepare, preprocessor, raw, size))
            timings.add("decode", ready.started, ready.decode_seconds)
            decoded = ready.started + ready.decode_seconds
            timings.add("preprocess", decoded, ready.preprocess_seconds)
            REQUEST.get().work.record_tokens(_tokens(asked[0].head, ready))
            outputs = await self._infer([one.head for one in asked], ready, size, timings)
            pairs = zip(asked, outputs, strict=True)
            return [await self._finish(one, given, ready, timings) for one, given in pairs]
        except InputError as error:
            if index is not None and not isinstance(error, InvalidParameterError):
                error.field = f"inputs[{index}]{(error.field or '').removeprefix('inputs')}"
            raise

    async def _finish(
        self, asked: Asked, outputs: Mapping[str, Array], ready: Ready, timings: Timings
    ) -> JsonValue:
        check_finite(outputs)
        if asked.head.spec.generation is not None:
            outputs = await self._write(asked, outputs, ready, timings)
        context = ready.prepared.context
        finish = partial(postprocess, asked.head, outputs, context, asked.parameters)
        quick = is_quick(asked.head, outputs)
        result, seconds = finish() if quick else await self._host(timings, finish)
        timings.add("postprocess", time.perf_counter() - seconds, seconds)
        return result

    async def _write(
        self, asked: Asked, outputs: Mapping[str, Array], ready: Ready, timings: Timings
    ) -> Mapping[str, Array]:
        """The ids of the texts that a head writes, a sample each."""
        samples = ready.prepared.samples
        inputs = ready.batch or collate_range(samples, 0, len(samples))
        options = asked.head.postprocessor.search_options(asked.head.spec, asked.parameters)
        host = partial(self._host, timings)
        written = await self._writer.write(asked.head.model, options, inputs, outputs, host)
        timings.queue += written.queue_seconds
        timings.compute += written.compute_seconds
        return written.outputs

    async def _infer(
        self, heads: Sequence[Head], ready: Ready, size: int, timings: Timings
    ) -> list[Mapping[str, Array]]:
        """Outputs per head; an input of more than ``size`` samples goes in several batches."""
        if ready.batch is not None:
            return await self._run(heads, ready.batch, timings)
        samples = ready.prepared.samples
        gate = asyncio.Semaphore(self._chunks_ahead)

        async def chunk(start: int) -> list[Mapping[str, Array]]:
            async with gate:
                stop = min(start + size, len(samples))
                batch = await self._host(timings, partial(collate_range, samples, start, stop))
                return await self._run(heads, batch, timings)

        parts = await gather_or_cancel([chunk(start) for start in range(0, len(samples), size)])
        return [
            {key: np.concatenate([part[key] for part in of_head]) for key in of_head[0]}
            for of_head in zip(*parts, strict=True)
        ]

    async def _run(
        self, heads: Sequence[Head], batch: Mapping[str, Array], timings: Timings
    ) -> list[Mapping[str, Array]]:
        if len(heads) == 1:
            inferences = [await self._runtime.infer(heads[0].model, batch)]
        else:
            inferences = await self._runtime.infer_all([head.model for head in heads], batch)
        # Spans of these are made by the runtime, which knows of the parts.
        timings.queue += sum(inference.queue_seconds for inference in inferences)
        timings.compute += sum(inference.compute_seconds for inference in inferences)
        REQUEST.get().work.record_seconds(sum(inference.own_seconds for inference in inferences))
        return [inference.outputs for inference in inferences]

    async def _host(self, timings: Timings, call: Callable[[], T]) -> T:
        """Run in a host thread, as a part of the request; the wait for one counts as queueing."""
        submitted = time.perf_counter()
        took: list[float] = []

        def run() -> tuple[float, T]:
            started = time.perf_counter()
            try:
                return started - submitted, call()
            finally:
                took.append(time.perf_counter() - started)

        # What is logged in the thread names the request too.
        work = partial(copy_context().run, run)
        try:
            waited, result = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            REQUEST.get().work.record_seconds(sum(took))
        timings.add("queue", submitted, waited)
        return result


def _tokens(head: Head, ready: Ready) -> int:
    if ready.batch is not None:
        return tokens_of(head.spec, ready.batch)
    # Many samples may be a lazy sequence: only the first of them is made to be looked at.
    samples = ready.prepared.samples
    return len(samples) * tokens_of_sample(head.spec, samples[0])


def _json(body: JsonValue) -> bytes:
    return to_json(body, inf_nan_mode="null")
