"""Batches for the runtime, measured: their time counts as stages, their work for the admission."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from omnivec2.preprocess import Array
from service.pipeline.answers import Timings
from service.pipeline.concurrency import gather_or_cancel
from service.pipeline.host_stages import Head, PreparedInput, collate_range
from service.pipeline.host_threads import HostThreads
from service.request_context import REQUEST
from service.runtimes.base import Runtime
from service.runtimes.batch_memory import rows_within, tokens_in_head


class MeasuredInference:
    """The calls of a runtime on behalf of requests.

    Args:
        runtime: The runtime; started.
        host: The threads in which batches are made.
        chunks_ahead: The number of batches of one input that are under way at the same time.
        max_token_pairs: The most pairs of tokens in one call of the runtime with several rows.
    """

    def __init__(
        self,
        runtime: Runtime,
        host: HostThreads,
        chunks_ahead: int,
        max_token_pairs: int = sys.maxsize,
    ) -> None:
        self._runtime = runtime
        self._host = host
        self._chunks_ahead = chunks_ahead
        self._max_token_pairs = max_token_pairs

    async def infer_input(
        self, heads: Sequence[Head], prepared: PreparedInput, max_rows: int, timings: Timings
    ) -> list[Mapping[str, Array]]:
        """Return the outputs of one input per head.

        Args:
            heads: The heads, which take the same inputs.
            prepared: The input; one of more than ``max_rows`` samples goes in several batches.
            max_rows: The most samples in a batch.
            timings: The timings of the request, to be added to.
        """
        if prepared.batch is not None:
            return await self.infer_batch(heads, prepared.batch, timings)
        samples = prepared.prepared.samples
        gate = asyncio.Semaphore(self._chunks_ahead)

        async def infer_chunk(start: int) -> list[Mapping[str, Array]]:
            async with gate:
                stop = min(start + max_rows, len(samples))
                batch = await self._host.run(timings, partial(collate_range, samples, start, stop))
                return await self.infer_batch(heads, batch, timings)

        starts = range(0, len(samples), max_rows)
        chunks = await gather_or_cancel([infer_chunk(start) for start in starts])
        return join_rows(chunks)

    async def infer_batch(
        self, heads: Sequence[Head], batch: Mapping[str, Array], timings: Timings
    ) -> list[Mapping[str, Array]]:
        """Return the outputs of one batch per head; one of many long rows is run in slices.

        A runtime bounds the memory of what it merges. It cannot split what it is given.

        Args:
            heads: The heads, which take the same inputs.
            batch: The inputs: tensor name -> array (rows, ...).
            timings: The timings of the request, to be added to.
        """
        rows = len(next(iter(batch.values())))
        tokens = max(tokens_in_head(head.spec, batch) for head in heads) if rows > 1 else 0
        most = rows_within(self._max_token_pairs, tokens, rows)
        if most >= rows:
            return await self._run(heads, batch, timings)
        slices = [
            await self._run(
                heads, {name: array[i : i + most] for name, array in batch.items()}, timings
            )
            for i in range(0, rows, most)
        ]
        return join_rows(slices)

    async def _run(
        self, heads: Sequence[Head], batch: Mapping[str, Array], timings: Timings
    ) -> list[Mapping[str, Array]]:
        """Return the outputs of one call of the runtime per head."""
        if len(heads) == 1:
            inferences = [await self._runtime.infer(heads[0].model, batch)]
        else:
            inferences = await self._runtime.infer_all([head.model for head in heads], batch)
        # The runtime records the spans of these, because it knows the parts.
        timings.queue += sum(inference.queue_seconds for inference in inferences)
        timings.compute += sum(inference.compute_seconds for inference in inferences)
        seconds = sum(inference.own_seconds for inference in inferences)
        REQUEST.get().work.record_seconds(seconds)
        return [inference.outputs for inference in inferences]


def join_rows(chunks: Sequence[Sequence[Mapping[str, Array]]]) -> list[Mapping[str, Array]]:
    """Return the outputs per head, of outputs per head of each chunk of rows."""
    return [
        {name: np.concatenate([chunk[name] for chunk in of_head]) for name in of_head[0]}
        for of_head in zip(*chunks, strict=True)
    ]
