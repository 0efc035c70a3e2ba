"""Dynamic micro-batching: the rows that wait when a worker becomes free are computed together.

There is no artificial delay. A lone request starts at once; under load the queue
fills while the workers compute, and each worker takes its share of it as one batch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from omnivec2.errors import (
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    RefusedTensorsError,
)
from omnivec2.preprocess import Array
from service.runtimes.base import Inference
from service.server.thread_priorities import lower_thread_priority

Batch = Mapping[str, Array]

# A worker thread survives every failure of a batch.
_BATCH_ERRORS = (
    OmniVecError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class BatchedGraph(Protocol):
    """A graph that computes batches."""

    @property
    def name(self) -> str:
        """The graph's name, for metrics."""

    @property
    def max_rows(self) -> int:
        """The most rows of one batch."""

    @property
    def pads(self) -> bool:
        """Whether rows of different lengths may be padded to meet in a batch.

        Not where an output is as long as an input: it would come back with the padding on.
        """

    def run(self, inputs: Batch) -> Batch:
        """Compute a batch; called in a worker thread."""


@dataclass(eq=False)
class _Job:
    """The rows of one request that wait for a worker."""

    graph: BatchedGraph
    inputs: Batch
    rows: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Inference]
    arrived: float = field(default_factory=time.perf_counter)


class Batcher:
    """Worker threads over one queue per graph and length bucket.

    A queued job keeps its graph, so that a graph may be replaced while requests are under way.

    Args:
        workers: The number of batches that are computed at the same time.
        capacity: The number of rows that may wait.
        on_batch: A callback for every computed batch: (graph's name, rows, seconds).
    """

    def __init__(
        self,
        *,
        workers: int,
        capacity: int,
        on_batch: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._capacity = capacity
        self._on_batch = on_batch
        self._queues: dict[Hashable, deque[_Job]] = {}
        self._waiting_rows = 0
        self._idle = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._compute_batches, name=f"inference-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_rows(self) -> int:
        """The number of rows that wait for a worker."""
        return self._waiting_rows

    async def submit(self, graph: BatchedGraph, inputs: Batch) -> Inference:
        """Compute rows, perhaps in one batch with those of other calls.

        Cancelling the call drops the rows if no worker has taken them.

        Args:
            graph: The graph that computes them.
            inputs: The graph's tensors: name -> array (batch, ...).

        Raises:
            OverloadedError: Too many rows are waiting.
            ModelNotReadyError: The batcher was closed, or the graph's engine failed.
        """
        loop = asyncio.get_running_loop()
        rows = len(next(iter(inputs.values())))
        job = _Job(graph, inputs, rows, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise ModelNotReadyError("the service is shutting down")
            if self._waiting_rows + rows > self._capacity:
                message = f"{self._waiting_rows:,} samples are waiting already"
                raise OverloadedError(message, reason="queue")
            self._queues.setdefault(_bucket_of(graph, inputs), deque()).append(job)
            self._waiting_rows += rows
            self._changed.notify()
        return await job.future

    def close(self) -> None:
        """Finish the running batches and reject the waiting jobs; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        rejected = [job for queue in self._queues.values() for job in queue]
        self._queues.clear()
        for job in rejected:
            _deliver(job, ModelNotReadyError("the service is shutting down"))

    def _compute_batches(self) -> None:
        lower_thread_priority()
        while (jobs := self._next_batch()) is not None:
            self._run(jobs)

    def _next_batch(self) -> list[_Job] | None:
        """Wait for jobs; an empty list if all were cancelled, None once the batcher is closed."""
        with self._changed:
            self._idle += 1
            while not self._queues and not self._closed:
                self._changed.wait()
            self._idle -= 1
            if self._closed:
                return None
            key, queue = min(self._queues.items(), key=lambda item: item[1][0].arrived)
            waiting = sum(job.rows for job in queue)
            # Rows are shared out evenly when other workers have nothing to do.
            share = min(-(-waiting // (self._idle + 1)), queue[0].graph.max_rows)
            jobs: list[_Job] = []
            rows = 0
            while queue and (not rows or rows + queue[0].rows <= share):
                job = queue.popleft()
                self._waiting_rows -= job.rows
                # A cancelled job must not take up room in the batch.
                if not job.future.cancelled():
                    jobs.append(job)
                    rows += job.rows
            if not queue:
                del self._queues[key]
            return jobs

    def _run(self, jobs: Sequence[_Job]) -> None:
        jobs = [job for job in jobs if not job.future.cancelled()]
        if not jobs:
            return
        started = time.perf_counter()
        try:
            outputs = jobs[0].graph.run(merge_batches([job.inputs for job in jobs]))
        except _BATCH_ERRORS as error:
            if isinstance(error, RefusedTensorsError) and len(jobs) > 1:
                # One request's values must not fail those it happened to meet.
                for job in jobs:
                    self._run([job])
                return
            for job in jobs:
                _deliver(job, error)
            return
        seconds = time.perf_counter() - started
        total = sum(job.rows for job in jobs)
        self._on_batch(jobs[0].graph.name, total, seconds)
        start = 0
        for job in jobs:
            rows = slice(start, start := start + job.rows)
            own = {name: array[rows] for name, array in outputs.items()}
            share = seconds * job.rows / total
            _deliver(job, Inference(own, started - job.arrived, seconds, share))


def merge_batches(batches: Sequence[Batch]) -> Batch:
    """Join batches along their first axis; shorter ones are padded with zeros at the end."""
    if len(batches) == 1:
        return batches[0]
    merged: dict[str, Array] = {}
    for name, first in batches[0].items():
        arrays = [batch[name] for batch in batches]
        shape = tuple(max(sizes) for sizes in zip(*(a.shape[1:] for a in arrays), strict=True))
        if all(a.shape[1:] == shape for a in arrays):
            merged[name] = np.concatenate(arrays)
            continue
        padded = np.zeros((sum(map(len, arrays)), *shape), dtype=first.dtype)
        start = 0
        for array in arrays:
            rows = slice(start, start := start + len(array))
            padded[(rows, *(slice(0, size) for size in array.shape[1:]))] = array
        merged[name] = padded
    return merged


def _bucket_of(graph: BatchedGraph, inputs: Batch) -> Hashable:
    """Return the key of the jobs that may meet: padding at most doubles any of their axes."""
    if not graph.pads:
        return id(graph), tuple(array.shape[1:] for array in inputs.values())
    return id(graph), tuple(
        tuple((size - 1).bit_length() for size in array.shape[1:]) for array in inputs.values()
    )


def _deliver(job: _Job, result: Inference | Exception) -> None:
    """Hand a result over to the event loop of its request."""

    def set_result() -> None:
        if job.future.done():
            return
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

    if not job.loop.is_closed():
        job.loop.call_soon_threadsafe(set_result)
