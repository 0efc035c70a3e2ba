"""Dynamic micro-batching: the rows that wait when a worker becomes free are computed together.

There is no artificial delay. A lone request starts at once; under load the queue
fills while the workers compute, and each worker takes its share of it as one batch.
A worker takes jobs all the way through their graphs (``graph_pass``), and lets those that have
arrived while it ran tokenizers join before the trunk.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from weakref import WeakKeyDictionary

from omnivec2.errors import ModelNotReadyError, OverloadedError
from service.access.priority import Priority
from service.request_context import REQUEST
from service.runtimes.base import Inference
from service.runtimes.embedded.batching.batch_cost import BatchCost
from service.runtimes.embedded.batching.batch_rows import Batch, length_bucket
from service.runtimes.embedded.batching.graph_pass import (
    BATCH_ERRORS,
    BatchedGraph,
    BatchObserver,
    Job,
    run_before_meeting,
    run_from_meeting,
)
from service.runtimes.ensemble import Dataflow
from service.server.thread_priorities import lower_thread_priority

_PATIENCE_SECONDS = {Priority.HIGH: 0.0, Priority.NORMAL: 1.0, Priority.LOW: 3.0}
"""How long urgent requests that arrive later go first; bounded, so that none waits for ever."""

_MOST_LENGTHS = 4096
"""The most lengths of one graph of which something is remembered."""


class Batcher:
    """Worker threads over one queue per graph and length in which jobs meet.

    A queued job keeps its graphs, so that a graph may be replaced while requests are under way.

    Args:
        workers: The number of batches that are computed at the same time.
        capacity: The number of rows that may wait.
        observer: The callbacks for every computed batch.
    """

    def __init__(self, *, workers: int, capacity: int, observer: BatchObserver) -> None:
        self._capacity = capacity
        self._observer = observer
        self._queues: dict[Hashable, deque[Job]] = {}
        self._waiting_rows = 0
        self._idle = 0
        # Worker thread -> the key and the rows it computes.
        self._running: dict[int, tuple[Hashable, int]] = {}
        self._closed = False
        self._changed = threading.Condition()
        # Of the graph in which jobs meet: length -> cost.
        self._costs: WeakKeyDictionary[BatchedGraph, dict[Hashable, BatchCost]] = (
            WeakKeyDictionary()
        )
        # Of a tokenizer: shapes of its inputs -> length bucket of the trunk's.
        self._lengths: WeakKeyDictionary[BatchedGraph, dict[Hashable, Hashable]] = (
            WeakKeyDictionary()
        )
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_rows(self) -> int:
        """The number of rows that wait for a worker."""
        return self._waiting_rows

    async def submit(
        self, dataflow: Dataflow, graphs: Sequence[BatchedGraph], inputs: Batch
    ) -> list[Inference]:
        """Compute rows, perhaps in batches with those of other calls.

        Cancelling the call drops the rows if no worker has taken them, and else what is left
        to be run.

        Args:
            dataflow: The nodes to run.
            graphs: The graph of each node.
            inputs: The tensors of the request: name -> array (batch, ...).

        Returns:
            The answer of each node.

        Raises:
            OverloadedError: Too many rows are waiting.
            RefusedTensorsError: A graph cannot take these values.
            ModelNotReadyError: The batcher was closed, or a graph's engine failed.
        """
        rows = len(next(iter(inputs.values())))
        future: asyncio.Future[list[Inference]] = asyncio.get_running_loop().create_future()
        job = Job(
            dataflow,
            graphs,
            inputs,
            rows,
            future,
            patience=_PATIENCE_SECONDS[REQUEST.get().priority],
        )
        job.key = self._key_of(job)
        with self._changed:
            if self._closed:
                raise ModelNotReadyError("the service is shutting down")
            if self._waiting_rows + rows > self._capacity:
                message = f"{self._waiting_rows:,} samples are waiting already"
                raise OverloadedError(message, reason="queue")
            _put_in_turn(self._queues.setdefault(job.key, deque()), job)
            self._waiting_rows += rows
            self._changed.notify()
        return await future

    def close(self, seconds: float = threading.TIMEOUT_MAX) -> bool:
        """Finish the running batches and reject the waiting jobs; idempotent.

        Args:
            seconds: The time to wait for the running batches.

        Returns:
            Whether all have finished.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        last = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, last - time.monotonic()))
        rejected = [job for queue in self._queues.values() for job in queue]
        self._queues.clear()
        for job in rejected:
            job.failure = ModelNotReadyError("the service is shutting down")
        _deliver(rejected)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        lower_thread_priority()
        while (jobs := self._next_jobs()) is not None:
            try:
                self._run(jobs)
            except BATCH_ERRORS as error:
                for job in jobs:
                    if not job.is_over:
                        job.failure = error
                _deliver(jobs)

    def _run(self, jobs: list[Job]) -> None:
        """Run jobs of one key through their graphs; those that join them are added to the list."""
        started = time.perf_counter()
        newcomers: Sequence[Job] = jobs
        while newcomers and any(job.dataflow.meeting_level for job in newcomers):
            run_before_meeting(newcomers, self._observer)
            self._remember_lengths(newcomers)
            _deliver([job for job in newcomers if job.is_over])
            jobs[:] = [job for job in jobs if not job.is_over]
            newcomers = self._joining_jobs(jobs)
            jobs += newcomers
        if not jobs:
            return
        run_from_meeting(jobs, self._observer, _deliver)
        if all(len(job.runs) == len(job.graphs) for job in jobs):
            self._learn_cost(jobs, time.perf_counter() - started)

    def _next_jobs(self) -> list[Job] | None:
        """Wait for jobs; an empty list if all were cancelled, None once the batcher is closed."""
        worker = threading.get_ident()
        with self._changed:
            self._running.pop(worker, None)
            self._idle += 1
            while not self._queues and not self._closed:
                self._changed.wait()
            self._idle -= 1
            if self._closed:
                return None
            key, queue = min(self._queues.items(), key=lambda item: item[1][0].turn)
            most = min(self._share(key), self._most_rows(queue[0]))
            jobs = self._take(key, most, at_least_one=True)
            self._running[worker] = key, sum([job.rows for job in jobs])
            return jobs

    def _joining_jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """Take jobs that have arrived meanwhile and may run with these; no idle worker would."""
        with self._changed:
            if not jobs or self._idle or self._closed or jobs[0].key not in self._queues:
                return []
            key, rows = jobs[0].key, sum([job.rows for job in jobs])
            # Until it is set again, this worker's rows would count twice.
            del self._running[threading.get_ident()]
            most = min(self._share(key, rows), self._most_rows(jobs[0]))
            joining = self._take(key, most - rows)
            rows += sum([job.rows for job in joining])
            self._running[threading.get_ident()] = key, rows
            return joining

    def _share(self, key: Hashable, taken: int = 0) -> int:
        """Return a worker's even share of the rows of a key; called with the lock held.

        They are shared among it, idle workers and those that compute such rows already: these
        will be back for more, and one large batch would leave them idle.

        Args:
            key: The key.
            taken: The number of rows that the worker has taken already.
        """
        waiting = sum([job.rows for job in self._queues[key]])
        running = [rows for other, rows in self._running.values() if other == key]
        workers = 1 + self._idle + len(running)
        return -(-(taken + waiting + sum(running)) // workers)

    def _take(self, key: Hashable, most: int, *, at_least_one: bool = False) -> list[Job]:
        """Take jobs from a queue, up to a number of rows; called with the lock held."""
        queue = self._queues[key]
        jobs: list[Job] = []
        rows = 0
        while queue and ((at_least_one and not rows) or rows + queue[0].rows <= most):
            job = queue.popleft()
            self._waiting_rows -= job.rows
            # A cancelled job must not take up room in the batch.
            if not job.future.cancelled():
                jobs.append(job)
                rows += job.rows
        if not queue:
            del self._queues[key]
        return jobs

    def _key_of(self, job: Job) -> Hashable:
        """Return the key of the jobs that may meet: the graph in which they do, and the length.

        How long a tokenizer's output is, is known once it has run on such inputs; until then
        a job meets only those with equal inputs.
        """
        graph, source = _meeting_graphs(job)
        if source is None:
            names = [origin.tensor for _, origin in job.dataflow.nodes[0].inputs]
            return id(graph), length_bucket([job.inputs[name] for name in names], graph.pads)
        shapes = _shapes_of(job)
        lengths = self._lengths.get(source)
        known = lengths.get(shapes) if lengths else None
        return id(graph), (id(source), shapes) if known is None else known

    def _remember_lengths(self, jobs: Sequence[Job]) -> None:
        """Learn how long the outputs of tokenizers are."""
        for job in jobs:
            graph, source = _meeting_graphs(job)
            if source is None or job.is_over:
                continue
            with self._changed:
                lengths = self._lengths.setdefault(source, {})
                if (shapes := _shapes_of(job)) in lengths:
                    continue
                if len(lengths) >= _MOST_LENGTHS:
                    lengths.clear()
                given = job.inputs_of(job.dataflow.meeting_node)
                arrays = [rows.array for rows in given.values()]
                lengths[shapes] = length_bucket(arrays, graph.pads)

    def _most_rows(self, job: Job) -> int:
        """Return at how many rows a batch with this job is closed; called with the lock held."""
        graph, _ = _meeting_graphs(job)
        cost = self._costs.get(graph, {}).get(job.key)
        return graph.max_rows if cost is None else cost.worthwhile_rows(graph.max_rows)

    def _learn_cost(self, jobs: Sequence[Job], seconds: float) -> None:
        graph, _ = _meeting_graphs(jobs[0])
        rows = sum([job.rows for job in jobs])
        with self._changed:
            costs = self._costs.setdefault(graph, {})
            if jobs[0].key not in costs and len(costs) >= _MOST_LENGTHS:
                costs.clear()
            costs.setdefault(jobs[0].key, BatchCost()).observe(rows, seconds)


def _put_in_turn(queue: deque[Job], job: Job) -> None:
    """Add a job to a queue behind those whose turn is before its own; mostly at the end."""
    place = len(queue)
    while place and queue[place - 1].turn > job.turn:
        place -= 1
    queue.insert(place, job)


def _meeting_graphs(job: Job) -> tuple[BatchedGraph, BatchedGraph | None]:
    """Return the graph in which a job meets others, and the one before it, if there is one."""
    node = job.dataflow.meeting_node
    source = next(iter(job.dataflow.nodes[node].sources), None)
    return job.graphs[node], None if source is None else job.graphs[source]


def _shapes_of(job: Job) -> Hashable:
    return tuple([array.shape[1:] for array in job.inputs.values()])


def _deliver(jobs: Sequence[Job]) -> None:
    """Hand the results of jobs that are over to the event loops of their requests."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, of_loop in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set_results, of_loop)


def _set_results(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.failure is not None:
            job.future.set_exception(job.failure)
        else:
            job.future.set_result(job.answers())
