"""The meaning of a request, without HTTP: decode, prepare, infer, post-process.

::

    RawInput ─ decode ─► native ─ prepare ─► samples ─ collate ─► Runtime ─ post-process ─► JSON
    └───────────── host threads ─────────────────────────┘         └──── host threads ────┘

    tensors ─ read and check ────────────────────────────────────► Runtime ────────────► tensors

Both ways share the second attempt after a model was replaced, the measuring of time and work, and
the checks of the network's outputs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from pydantic import JsonValue
from pydantic_core import to_json

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    InvalidParameterError,
    NotedInputError,
    RefusedTensorsError,
    StaleModelError,
)
from omnivec2.preprocess import Array, Preprocessor
from omnivec2.preprocess.source_options import SourceOptions
from service.admission.cost_model import tokens_of, tokens_of_sample
from service.pipeline.answers import Answer, RequestNotes, TensorAnswer, Timings, ValueAnswer
from service.pipeline.concurrency import in_slices, in_thread_if_large
from service.pipeline.host_stages import (
    Head,
    PreparedInput,
    RawInput,
    check_count,
    check_finite,
    collate_range,
    is_cheap_to_postprocess,
    is_cheap_to_prepare,
    postprocess,
    prepare,
)
from service.pipeline.host_threads import HostThreads
from service.pipeline.measured_inference import MeasuredInference
from service.pipeline.served_heads import ServedHeads
from service.pipeline.task_requests import (
    TaskRequest,
    group_by_preprocessing,
    request_of_head,
    requests_of_heads,
)
from service.pipeline.text_generation import TextGenerator
from service.request_context import REQUEST
from service.runtimes.base import Runtime

T = TypeVar("T")


class Decoders(Protocol):
    """Another place than this process in which inputs are prepared."""

    def prepare(
        self,
        preprocessor: Preprocessor[Any, Any],
        raw: RawInput,
        max_batch_size: int,
        source: SourceOptions | None,
    ) -> PreparedInput:
        """Decode and prepare one input; see ``host_stages.prepare``."""


ReadTensors = Callable[[Head], Mapping[str, Array]]
"""Reads a caller's tensors as the inputs of a head: tensor name -> array (batch, ...)."""


class DataPlane:
    """The way of a request through the models of a runtime.

    Args:
        runtime: The runtime; started.
        host_workers: The number of threads that decode, prepare and post-process.
        chunks_ahead: The number of batches of one input that are under way at the same time:
            enough to keep every worker busy, few enough that a large input is never wholly in
            memory.
        decoders: The processes in which native code reads inputs; None reads them in this one.
        max_token_pairs: The most pairs of tokens in one call of the runtime with several rows.

    Attributes:
        served: The heads of the runtime's models.
    """

    def __init__(
        self,
        runtime: Runtime,
        host_workers: int,
        chunks_ahead: int = 4,
        decoders: Decoders | None = None,
        max_token_pairs: int = sys.maxsize,
    ) -> None:
        self._host = HostThreads(host_workers)
        self._decoders = decoders
        self._inference = MeasuredInference(runtime, self._host, chunks_ahead, max_token_pairs)
        self.served = ServedHeads(runtime)
        self._generator = TextGenerator(runtime)

    @property
    def heads(self) -> Mapping[str, Head]:
        """Head name (``<modality>/<task>``) -> head, as of now."""
        return self.served.by_name

    def head(self, modality: str, task: str) -> Head:
        """Return the head of a modality and task; see ``ServedHeads.head``."""
        return self.served.head(modality, task)

    async def predict(
        self,
        head: Head,
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> Answer:
        """Answer the inputs of one request, written as JSON; see ``predict_value``."""
        answer = await self.predict_value(head, inputs, parameters, batched=batched, notes=notes)
        return Answer(_to_json(answer.value), answer.models, answer.timings, answer.notes)

    async def predict_value(
        self,
        head: Head,
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> ValueAnswer:
        """Answer the inputs of one request.

        Args:
            head: The head that answers.
            inputs: The inputs; at least one.
            parameters: The parameters of the task's family; unknown ones are errors.
            batched: Whether the answer is a list of answers.
            notes: The notes on the request so far, to be added to.

        Raises:
            InputError: An input or a parameter is wrong; ``field`` says which.
            NotedInputError: There are notes on an input, and they are strict.
            OverloadedError: Too much is waiting.
            ModelNotReadyError: The engine failed.
        """
        timings, noted = Timings(), notes or RequestNotes()

        async def attempt(heads: Sequence[Head]) -> list[JsonValue]:
            requests = [request_of_head(head, parameters) for head in heads]
            return await self._answer(requests, inputs, batched, timings, noted)

        heads, bodies = await self._on_served_heads([head], attempt)
        models = [head.model for head in heads]
        return ValueAnswer(bodies[0], models, timings, noted.in_order())

    async def predict_tasks(
        self,
        heads: Sequence[Head],
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> Answer:
        """Answer the inputs of one request with several heads of a modality: task -> answer.

        Heads with the same pre-processing decode an input once and call the runtime once.

        Args:
            heads: The heads that answer; each once.
            inputs: The inputs; at least one.
            parameters: The parameters for every head, or task -> those for its head.
            batched: Whether the answers are lists of answers.
            notes: The notes on the request so far, to be added to.

        Raises:
            InputError: As for ``predict``, and so are the other errors.
        """
        timings, noted = Timings(), notes or RequestNotes()

        async def attempt(heads: Sequence[Head]) -> list[JsonValue]:
            requests = requests_of_heads(heads, parameters)
            return await self._answer(requests, inputs, batched, timings, noted)

        heads, bodies = await self._on_served_heads(heads, attempt)
        by_task = {head.spec.task: body for head, body in zip(heads, bodies, strict=True)}
        models = [head.model for head in heads]
        return Answer(_to_json(by_task), models, timings, noted.in_order())

    async def infer_tensors(self, head: Head, read: ReadTensors, nbytes: int) -> TensorAnswer:
        """Run the tensors of one request through a head, without pre- and post-processing.

        Args:
            head: The head that answers.
            read: The reader of the tensors, which checks them against the head's spec. It is
                called again if another head has taken the place of this one.
            nbytes: The size of the request; a large one is read in a thread.

        Raises:
            InputError: A tensor is not what the head takes, or its values are not.
            OverloadedError: Too much is waiting.
            ModelNotReadyError: The engine failed, or the head is no longer served.
        """
        timings = Timings()

        async def attempt(heads: Sequence[Head]) -> Mapping[str, Array]:
            return await self._run_tensors(heads[0], read, nbytes, timings)

        heads, outputs = await self._on_served_heads([head], attempt)
        return TensorAnswer(outputs, heads[0].model, timings)

    @property
    def host_threads(self) -> HostThreads:
        """The threads that decode, prepare and post-process."""
        return self._host

    def close(self, seconds: float = float("inf")) -> bool:
        """Stop the host threads; see ``HostThreads.close``."""
        return self._host.close(seconds)

    async def _on_served_heads(
        self, heads: Sequence[Head], attempt: Callable[[Sequence[Head]], Awaitable[T]]
    ) -> tuple[Sequence[Head], T]:
        """Return the heads that answered and their result.

        If one was replaced since the request found it, there is one more attempt with the heads
        that are served then.

        Raises:
            StaleModelError: One of the heads is no longer served, or replaced again.
        """
        try:
            return heads, await attempt(heads)
        except StaleModelError:
            served = [await self.served.refresh_head(head) for head in heads]
            renewed = [head for head in served if head is not None]
            if len(renewed) < len(heads):
                raise
        return renewed, await attempt(renewed)

    async def _run_tensors(
        self, head: Head, read: ReadTensors, nbytes: int, timings: Timings
    ) -> Mapping[str, Array]:
        started = time.perf_counter()
        inputs = await in_thread_if_large(nbytes, partial(read, head))
        timings.add("decode", started, time.perf_counter() - started)
        work = REQUEST.get().work
        work.expect_inputs(1)
        work.record_tokens(tokens_of(head.spec, inputs))
        try:
            (outputs,) = await self._inference.infer_batch([head], inputs, timings)
        except RefusedTensorsError as error:
            # Here the caller made the tensors, so the fault is not the model's.
            raise InvalidInputError(
                f"{head.model.name} cannot take these values: an index lies outside of its "
                "table, or axes that belong together differ in length",
                field="inputs",
            ) from error
        check_finite(outputs)
        return outputs

    async def _answer(
        self,
        requests: Sequence[TaskRequest],
        inputs: Sequence[RawInput],
        batched: bool,
        timings: Timings,
        notes: RequestNotes,
    ) -> list[JsonValue]:
        """Return the answer of each head to all inputs."""
        for request in requests:
            check_count(len(inputs), request.head)
        groups = group_by_preprocessing(requests)
        calls = [
            self._answer_input(group, raw, timings, notes, index if batched else None)
            for group in groups
            for index, raw in enumerate(inputs)
        ]
        REQUEST.get().work.expect_inputs(len(calls))
        at_once = requests[0].head.spec.limits.inputs * len(groups)
        rows = iter(await in_slices(calls, at_once))
        results: dict[str, list[JsonValue]] = {}
        for group in groups:
            columns = zip(*(next(rows) for _ in inputs), strict=True)
            results |= {
                request.head.spec.task: list(column)
                for request, column in zip(group, columns, strict=True)
            }
        return [
            request.head.postprocessor.combine(
                results[request.head.spec.task], batched=batched, spec=request.head.spec
            )
            for request in requests
        ]

    async def _answer_input(
        self,
        requests: Sequence[TaskRequest],
        raw: RawInput,
        timings: Timings,
        notes: RequestNotes,
        index: int | None,
    ) -> list[JsonValue]:
        """Return the answers of heads with the same pre-processing to one input."""
        try:
            max_rows = min(request.head.spec.max_batch_size for request in requests)
            first = requests[0].head
            # Of many inputs the sum would hold up the event loop.
            inline = index is None and is_cheap_to_prepare(first, raw)
            isolated = self._decoders is not None and first.preprocessor.is_native(raw.content)
            way = self._decoders.prepare if self._decoders and isolated else prepare
            call = partial(way, first.preprocessor, raw, max_rows, requests[0].source)
            prepared = await self._host.run_or_inline(timings, call, inline=inline)
            if inline:
                first.costs.learn(raw.nbytes, prepared.decode_seconds + prepared.preprocess_seconds)
            timings.add("decode", prepared.started, prepared.decode_seconds)
            decoded = prepared.started + prepared.decode_seconds
            timings.add("preprocess", decoded, prepared.preprocess_seconds)
            notes.add(prepared.notes, index)
            REQUEST.get().work.record_tokens(_tokens_of_input(first, prepared))
            heads = [request.head for request in requests]
            outputs = await self._inference.infer_input(heads, prepared, max_rows, timings)
            pairs = zip(requests, outputs, strict=True)
            return [await self._finish(*pair, prepared, timings) for pair in pairs]
        except InputError as error:
            has_own_field = isinstance(error, InvalidParameterError | NotedInputError)
            if index is not None and not has_own_field:
                error.field = f"inputs[{index}]{(error.field or '').removeprefix('inputs')}"
            raise

    async def _finish(
        self,
        request: TaskRequest,
        outputs: Mapping[str, Array],
        prepared: PreparedInput,
        timings: Timings,
    ) -> JsonValue:
        """Return the answer of one head to one input, from the outputs of the network."""
        check_finite(outputs)
        if request.head.spec.generation is not None:
            outputs = await self._generate(request, outputs, prepared, timings)
        context = prepared.prepared.context
        finish = partial(postprocess, request.head, outputs, context, request.parameters)
        in_loop = is_cheap_to_postprocess(request.head, outputs)
        result, seconds = finish() if in_loop else await self._host.run(timings, finish)
        timings.add("postprocess", time.perf_counter() - seconds, seconds)
        return result

    async def _generate(
        self,
        request: TaskRequest,
        outputs: Mapping[str, Array],
        prepared: PreparedInput,
        timings: Timings,
    ) -> Mapping[str, Array]:
        """Return the ids of the texts that a head writes, one text per sample."""
        samples = prepared.prepared.samples
        inputs = prepared.batch or collate_range(samples, 0, len(samples))
        head = request.head
        options = head.postprocessor.search_options(head.spec, request.parameters)
        run_on_host = partial(self._host.run, timings)
        texts = await self._generator.generate(head.model, options, inputs, outputs, run_on_host)
        timings.queue += texts.queue_seconds
        timings.compute += texts.compute_seconds
        return texts.outputs


def _tokens_of_input(head: Head, prepared: PreparedInput) -> int:
    if prepared.batch is not None:
        return tokens_of(head.spec, prepared.batch)
    # Many samples may be a lazy sequence: only the first of them is made, to be measured.
    samples = prepared.prepared.samples
    return len(samples) * tokens_of_sample(head.spec, samples[0])


def _to_json(body: JsonValue) -> bytes:
    return to_json(body, inf_nan_mode="null")
