"""Answers in parts: windows of a recording one after the other, texts as they are written.

::

    samples ─ collate ─► Runtime ─ post-process ─► sink      a window at a time, a few ahead
    decoder's step ─► search ─ post-process ────► sink       a token at a time

A sink that does not keep up holds up the next windows and steps: nothing is stored but the few that
are under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial

from pydantic import JsonValue

from omnivec2.generation import IDS
from omnivec2.postprocess.part_contexts import context_of_sample
from omnivec2.preprocess import Array
from service.pipeline.answers import Timings
from service.pipeline.concurrency import task_group
from service.pipeline.doubts.input_doubt import find_doubt, split_summaries
from service.pipeline.host_stages import (
    PreparedInput,
    check_finite,
    collate_range,
    is_cheap_to_postprocess,
    postprocess,
)
from service.pipeline.host_threads import HostThreads
from service.pipeline.measured_inference import MeasuredInference, join_rows
from service.pipeline.task_requests import TaskRequest
from service.pipeline.text_generation import OnStep
from service.request_context import PartAnswer, PartSink

Outputs = list[Mapping[str, Array]]
"""The outputs of each head."""


class PartStreamer:
    """Gives parts of answers to the sinks of requests that ask for them.

    Args:
        inference: The calls of the runtime.
        host: The threads in which batches are made and parts are post-processed.
        windows_ahead: The number of windows of one input that are under way at the same time.
    """

    def __init__(self, inference: MeasuredInference, host: HostThreads, windows_ahead: int) -> None:
        self._inference = inference
        self._host = host
        self._windows_ahead = windows_ahead

    @staticmethod
    def has_windows(prepared: PreparedInput) -> bool:
        """Whether an input has several samples with answers of their own."""
        whole = prepared.prepared
        return len(whole.samples) > 1 and context_of_sample(whole.context, 0) is not None

    async def infer_windows(
        self,
        requests: Sequence[TaskRequest],
        prepared: PreparedInput,
        timings: Timings,
        input_index: int,
        sink: PartSink,
    ) -> Outputs:
        """Return the outputs of all windows per head, once the sink has the answer to each.

        Args:
            requests: The requests to heads that take the same inputs.
            prepared: The input.
            timings: The timings of the request, to be added to.
            input_index: The place of the input in the request.
            sink: The sink of the parts, which come in the order of the windows.
        """
        samples = prepared.prepared.samples
        heads = [request.head for request in requests]

        async def infer(index: int) -> Outputs:
            cut = partial(collate_range, samples, index, index + 1)
            batch = await self._host.run(timings, cut)
            return await self._inference.infer_batch(heads, batch, timings)

        done: list[Outputs] = []
        ahead: deque[asyncio.Task[Outputs]] = deque()
        async with task_group() as group:
            for index in range(len(samples)):
                while len(ahead) < min(self._windows_ahead, len(samples) - index):
                    ahead.append(group.create_task(infer(index + len(ahead))))
                done.append(await ahead.popleft())
                for request, outputs in zip(requests, done[-1], strict=True):
                    context = context_of_sample(prepared.prepared.context, index)
                    answer = await self._answer(request, outputs, prepared, context or {}, timings)
                    part = PartAnswer(
                        "window",
                        request.head.spec.task,
                        input_index,
                        index,
                        len(samples),
                        answer,
                    )
                    await sink.put(part)
        return join_rows(done)

    def text_listener(
        self,
        request: TaskRequest,
        prepared: PreparedInput,
        timings: Timings,
        input_index: int,
        sink: PartSink,
    ) -> OnStep:
        """Return a callback for the steps of a search that gives the text so far to the sink.

        Args:
            request: The request to a head that writes text.
            prepared: The input.
            timings: The timings of the request, to be added to.
            input_index: The place of the input in the request.
            sink: The sink of the parts.
        """
        steps = 0

        async def on_step(row: int, ids: Array) -> None:
            nonlocal steps
            if row > 0:
                return  # the answer joins the texts of all rows, which no part can show
            outputs = {IDS: ids[None]}
            context = prepared.prepared.context
            answer = await self._answer(request, outputs, prepared, context, timings)
            task = request.head.spec.task
            await sink.put(PartAnswer("token", task, input_index, steps, None, answer))
            steps += 1

        return on_step

    async def _answer(
        self,
        request: TaskRequest,
        outputs: Mapping[str, Array],
        prepared: PreparedInput,
        context: Mapping[str, object],
        timings: Timings,
    ) -> JsonValue:
        check_finite(outputs)
        outputs, summaries = split_summaries(request.head.model, outputs)
        rows = len(next(iter(outputs.values())))
        # What there is to note is noted of the whole input, once all of its windows are known.
        doubt = find_doubt(request.head.model, summaries, rows, prepared)
        ceilings = None if doubt is None else doubt.ceilings
        finish = partial(postprocess, request.head, outputs, context, request.parameters, ceilings)
        if is_cheap_to_postprocess(request.head, outputs):
            return finish()[0]
        return (await self._host.run(timings, finish))[0]
