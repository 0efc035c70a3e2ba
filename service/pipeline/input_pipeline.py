"""One input and the heads that answer it: decode, prepare, infer, post-process.

::

    RawInput ─ decode ─► native ─ prepare ─► samples ─ collate ─► Runtime ─ post-process ─► JSON
    └───────────── host threads ─────────────────────────┘         └──── host threads ────┘
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from pydantic import JsonValue

from omnivec2.errors import InputError
from omnivec2.preprocess import Array, Preprocessor
from omnivec2.preprocess.source_options import SourceOptions
from service.admission.cost_model import tokens_of, tokens_of_sample
from service.pipeline.abandonment import Abandonment
from service.pipeline.answers import RequestNotes, Timings
from service.pipeline.doubts.input_doubt import find_doubt, split_summaries
from service.pipeline.explanations.explainer import Explainer
from service.pipeline.host_stages import (
    Head,
    PreparedInput,
    RawInput,
    check_finite,
    collate_range,
    is_cheap_to_postprocess,
    is_cheap_to_prepare,
    name_input,
    postprocess,
    prepare,
)
from service.pipeline.host_threads import HostThreads
from service.pipeline.measured_inference import MeasuredInference
from service.pipeline.partial.part_streamer import PartStreamer
from service.pipeline.task_requests import TaskRequest
from service.pipeline.text_generation import TextGenerator
from service.request_context import REQUEST
from service.runtimes.seen_summaries import SEEN_SUMMARIES, SeenInput


class Decoders(Protocol):
    """Another place than this process in which inputs are prepared."""

    def prepare(
        self,
        preprocessor: Preprocessor[Any, Any],
        raw: RawInput,
        max_batch_size: int,
        source: SourceOptions | None,
        abandonment: Abandonment,
    ) -> PreparedInput:
        """Decode and prepare one input, unless it is abandoned; see ``host_stages.prepare``."""


class InputPipeline:
    """The way of one input to the answers of heads that prepare it alike.

    Args:
        host: The threads that decode, prepare and post-process.
        inference: The calls of the runtime.
        explainer: The explainer of answers.
        generator: The writer of texts.
        streamer: The giver of parts of answers.
        decoders: The processes in which native code reads inputs; None reads them in this one.
    """

    def __init__(
        self,
        host: HostThreads,
        inference: MeasuredInference,
        explainer: Explainer,
        generator: TextGenerator,
        streamer: PartStreamer,
        decoders: Decoders | None,
    ) -> None:
        self._host = host
        self._inference = inference
        self._explainer = explainer
        self._generator = generator
        self._streamer = streamer
        self._decoders = decoders

    async def answer(
        self,
        requests: Sequence[TaskRequest],
        raw: RawInput,
        timings: Timings,
        notes: RequestNotes,
        index: int | None,
    ) -> list[JsonValue]:
        """Return the answers of heads with the same pre-processing to one input.

        Args:
            requests: The requests, one per head.
            raw: The input.
            timings: The timings of the request, to be added to.
            notes: The notes on the request, to be added to.
            index: The place of the input in a request for several; None for the only one.

        Raises:
            InputError: As for ``DataPlane.predict``, and so are the other errors.
        """
        try:
            prepared = await self._prepare(requests, raw, timings, notes, index)
            for request in requests:
                if request.explanations is not None:
                    count = request.explanations.inputs
                    self._explainer.check_answers(request.head, count, prepared.prepared)
            parts = REQUEST.get().parts
            if parts is not None and self._streamer.has_windows(prepared):
                outputs = await self._streamer.infer_windows(
                    requests, prepared, timings, index or 0, parts
                )
            else:
                outputs = await self._infer(requests, prepared, timings)
            pairs = zip(requests, outputs, strict=True)
            answers = [await self.finish(*pair, prepared, timings, notes, index) for pair in pairs]
            for request, found in zip(requests, outputs, strict=True):
                if request.explanations is not None:
                    request.explanations.of_input[index or 0] = await self._explainer.explain(
                        request.head, found, prepared.prepared, timings
                    )
            return answers
        except InputError as error:
            if index is not None:
                name_input(error, index)
            raise

    async def infer(
        self,
        requests: Sequence[TaskRequest],
        raw: RawInput,
        timings: Timings,
        notes: RequestNotes,
    ) -> tuple[PreparedInput, list[Mapping[str, Array]]]:
        """Return one input as it was prepared, and the network's outputs for each request.

        See ``answer`` for arguments and errors.
        """
        prepared = await self._prepare(requests, raw, timings, notes, None)
        return prepared, await self._infer(requests, prepared, timings)

    async def finish(
        self,
        request: TaskRequest,
        outputs: Mapping[str, Array],
        prepared: PreparedInput,
        timings: Timings,
        notes: RequestNotes,
        index: int | None = None,
    ) -> JsonValue:
        """Return the answer of one head to one input, from the outputs of the network.

        Args:
            request: The request to the head.
            outputs: The outputs of all samples of the input.
            prepared: The input; its samples are needed by heads that write texts only.
            timings: The timings of the request, to be added to.
            notes: The notes on the request, to be added to.
            index: The place of the input in a request for several; None for the only one.
        """
        check_finite(outputs)
        outputs, summaries = split_summaries(request.head.model, outputs)
        context = prepared.prepared.context
        if summaries and (seen := SEEN_SUMMARIES.get()) is not None:
            apart = context.get("reduce") == "each" and "grid" not in context
            seen.append(SeenInput(request.head.model, summaries, apart))
        rows = len(next(iter(outputs.values())))
        doubt = find_doubt(request.head.model, summaries, rows, prepared)
        if doubt is not None:
            notes.add(doubt.notes, index)
        if request.head.spec.generation is not None:
            outputs = await self._generate(request, outputs, prepared, timings, index or 0)
        ceilings = None if doubt is None else doubt.ceilings
        finish = partial(postprocess, request.head, outputs, context, request.parameters, ceilings)
        in_loop = is_cheap_to_postprocess(request.head, outputs)
        result, seconds = finish() if in_loop else await self._host.run(timings, finish)
        timings.add("postprocess", time.perf_counter() - seconds, seconds)
        return result

    async def _prepare(
        self,
        requests: Sequence[TaskRequest],
        raw: RawInput,
        timings: Timings,
        notes: RequestNotes,
        index: int | None,
    ) -> PreparedInput:
        max_rows = _most_rows(requests)
        first = requests[0].head
        # Of many inputs the sum would hold up the event loop.
        inline = index is None and is_cheap_to_prepare(first, raw)
        arguments = first.preprocessor, raw, max_rows, requests[0].source
        if self._decoders is not None and first.preprocessor.is_native(raw.content):
            abandonment = Abandonment()
            call = partial(self._decoders.prepare, *arguments, abandonment)
            with abandonment.if_cancelled():
                prepared = await self._host.run_or_inline(timings, call, inline=inline)
        else:
            call = partial(prepare, *arguments)
            prepared = await self._host.run_or_inline(timings, call, inline=inline)
        if inline:
            first.costs.learn(raw.nbytes, prepared.decode_seconds + prepared.preprocess_seconds)
        timings.add("decode", prepared.started, prepared.decode_seconds)
        decoded = prepared.started + prepared.decode_seconds
        timings.add("preprocess", decoded, prepared.preprocess_seconds)
        notes.add(prepared.notes, index)
        REQUEST.get().work.record_tokens(_tokens_of_input(first, prepared))
        return prepared

    async def _infer(
        self, requests: Sequence[TaskRequest], prepared: PreparedInput, timings: Timings
    ) -> list[Mapping[str, Array]]:
        heads = [request.head for request in requests]
        return await self._inference.infer_input(heads, prepared, _most_rows(requests), timings)

    async def _generate(
        self,
        request: TaskRequest,
        outputs: Mapping[str, Array],
        prepared: PreparedInput,
        timings: Timings,
        index: int,
    ) -> Mapping[str, Array]:
        """Return the ids of the texts that a head writes, one text per sample."""
        samples = prepared.prepared.samples
        inputs = prepared.batch or collate_range(samples, 0, len(samples))
        head = request.head
        options = head.postprocessor.search_options(head.spec, request.parameters)
        run_on_host = partial(self._host.run, timings)
        parts = REQUEST.get().parts
        on_step = None
        if parts is not None:
            on_step = self._streamer.text_listener(request, prepared, timings, index, parts)
        texts = await self._generator.generate(
            head.model, options, inputs, outputs, run_on_host, on_step
        )
        timings.queue += texts.queue_seconds
        timings.compute += texts.compute_seconds
        return texts.outputs


def _most_rows(requests: Sequence[TaskRequest]) -> int:
    return min(request.head.spec.max_batch_size for request in requests)


def _tokens_of_input(head: Head, prepared: PreparedInput) -> int:
    if prepared.batch is not None:
        return tokens_of(head.spec, prepared.batch)
    # Many samples may be a lazy sequence: only the first of them is made, to be measured.
    samples = prepared.prepared.samples
    return len(samples) * tokens_of_sample(head.spec, samples[0])
