"""Texts that heads write: one search per text, whose steps run in the decoder of the runtime.

A step of a search is one row of the decoder's batch, however many beams it has, so that the steps
of different requests are batched together as other rows are. Between two steps, all state of a
search is held here: when a request ends, for whatever reason, nothing of its searches is left. What
a search computes itself runs in host threads, so that the event loop stays free.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from omnivec2.errors import DeadlineExceededError, ModelNotReadyError
from omnivec2.generation import Search, SearchOptions, constant_inputs, padded_ids
from omnivec2.preprocess import Array
from service.pipeline.concurrency import gather_or_cancel
from service.request_context import REQUEST, trace_stage
from service.runtimes.base import Inference, Model, Runtime, generation_of

RunOnHost = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a call in a host thread, as a part of the request."""

OnStep = Callable[[int, Array], Awaitable[None]]
"""Takes the row of a search and the ids of its text so far, after each of its steps."""


class TextGenerator:
    """The searches for texts with the decoders of a runtime's models.

    Args:
        runtime: The runtime; started.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def generate(
        self,
        model: Model,
        options: SearchOptions,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        run_on_host: RunOnHost,
        on_step: OnStep | None = None,
    ) -> Inference:
        """Search for the texts of all rows at the same time.

        Args:
            model: The model that gave the outputs.
            options: The options of the search.
            inputs: The inputs of the model, each (rows, ...).
            outputs: The outputs of the model, each (rows, ...).
            run_on_host: The runner of all computation that is not a step of the decoder.
            on_step: The callback for each step of a search; the next one waits for it.

        Returns:
            ``ids`` as in ``omnivec2.generation``, and the seconds of the steps.

        Raises:
            DeadlineExceededError: The time allowed passed between two steps.
            ModelNotReadyError: The decoder's answer is not a distribution.
            OmniVecError: As for ``Runtime.decode``.
        """
        generation = generation_of(model)
        rows: list[tuple[Search, dict[str, Array]]] = []

        def begin_searches() -> None:
            constant = constant_inputs(model.spec, inputs, outputs)
            for row, ids in enumerate(inputs[generation.source]):
                given = {name: array[row : row + 1] for name, array in constant.items()}
                rows.append((Search(generation, options, ids), given))

        await run_on_host(begin_searches)
        with trace_stage("compute", generation.decoder):
            times = await gather_or_cancel(
                [
                    self._search(model, *row, run_on_host, on_step and partial(on_step, index))
                    for index, row in enumerate(rows)
                ]
            )
        queue, compute = (sum(seconds) for seconds in zip(*times, strict=True))
        return Inference(padded_ids([search.ids for search, _ in rows]), queue, compute)

    async def _search(
        self,
        model: Model,
        search: Search,
        constant: Mapping[str, Array],
        run_on_host: RunOnHost,
        on_step: Callable[[Array], Awaitable[None]] | None,
    ) -> tuple[float, float]:
        """Run a search to its end, in its own task; return its seconds of queueing and compute."""
        request = REQUEST.get()
        if request.spans is not None:
            # A search is one stage of a trace, not hundreds.
            REQUEST.set(replace(request, spans=None))
        queue = compute = 0.0
        while not search.done:
            if request.seconds_left <= 0:
                raise DeadlineExceededError(
                    f"the deadline passed before {model.name} had finished its text"
                )
            step = {name: array[None] for name, array in search.inputs().items()}
            inference = await self._runtime.decode(model, {**step, **constant})
            request.work.record_seconds(inference.own_seconds)
            queue += inference.queue_seconds
            compute += inference.compute_seconds
            await run_on_host(partial(_advance, model, search, inference.outputs))
            if on_step is not None:
                await on_step(search.ids)
        return queue, compute


def _advance(model: Model, search: Search, outputs: Mapping[str, Array]) -> None:
    """Give a search the outputs of its next step."""
    states = {name: array[0] for name, array in outputs.items()}
    if not all(np.isfinite(array).all() for array in states.values()):
        raise ModelNotReadyError(f"the decoder of {model.name} gives no finite answer")
    search.advance(states)
