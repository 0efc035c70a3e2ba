"""Texts that heads write: a search each, whose steps are asked of the runtime.

A step of a search is one row of the decoder's batch, however many beams it has, so the steps of
different requests meet there as other rows do. Nothing is kept anywhere between two steps but
here: when a request ends, however it does, all of its search is gone. What a search computes
itself is done in host threads, so that the event loop stays free.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import numpy as np

from omnivec2.errors import DeadlineExceededError, ModelNotReadyError
from omnivec2.generation import Search, SearchOptions, constant_inputs, padded_ids
from omnivec2.preprocess import Array
from service.admission.cost_model import WORK
from service.pipeline.concurrency import all_of
from service.request_context import CURRENT, SPANS, working
from service.runtimes.base import Inference, Model, Runtime, generation_of

Host = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a call in a thread of the host, as a part of the request."""


class Writer:
    """Searches for texts with the decoders of a runtime's models.

    Args:
        runtime: started.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def write(
        self,
        model: Model,
        options: SearchOptions,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        host: Host,
    ) -> Inference:
        """The texts of all rows, searched for at the same time.

        Args:
            model: what gave the outputs.
            options: what is searched for.
            inputs: of the model, each (rows, ...).
            outputs: of the model, likewise.
            host: where what is no step of the decoder is computed.

        Returns:
            ``ids`` of ``omnivec2.generation``, and the seconds of the steps.

        Raises:
            DeadlineExceededError: the time allowed passed between two steps.
            ModelNotReadyError: the decoder's answer is no distribution.
            OmniVecError: as ``Runtime.decode`` does.
        """
        generation = generation_of(model)
        rows: list[tuple[Search, dict[str, Array]]] = []

        def begin() -> None:
            constant = constant_inputs(model.spec, inputs, outputs)
            for row, ids in enumerate(inputs[generation.source]):
                given = {name: array[row : row + 1] for name, array in constant.items()}
                rows.append((Search(generation, options, ids), given))

        await host(begin)
        with working("compute", generation.decoder):
            times = await all_of([self._search(model, *row, host) for row in rows])
        queue, compute = (sum(seconds) for seconds in zip(*times, strict=True))
        return Inference(padded_ids([search.ids for search, _ in rows]), queue, compute)

    async def _search(
        self, model: Model, search: Search, constant: Mapping[str, Array], host: Host
    ) -> tuple[float, float]:
        """Run a search to its end, in a task of its own; seconds of queueing and computing."""
        SPANS.set(None)  # a search is one stage of a trace, not hundreds
        queue = compute = 0.0
        while not search.done:
            if CURRENT.get().seconds_left <= 0:
                raise DeadlineExceededError(f"no time is left for {model.name} to write on")
            step = {name: array[None] for name, array in search.inputs().items()}
            inference = await self._runtime.decode(model, {**step, **constant})
            WORK.get().spend(inference.own_seconds)
            queue += inference.queue_seconds
            compute += inference.compute_seconds
            await host(partial(_take, model, search, inference.outputs))
        return queue, compute


def _take(model: Model, search: Search, outputs: Mapping[str, Array]) -> None:
    found = {name: array[0] for name, array in outputs.items()}
    if not all(np.isfinite(array).all() for array in found.values()):
        raise ModelNotReadyError(f"the decoder of {model.name} gives no finite answer")
    search.advance(found)
