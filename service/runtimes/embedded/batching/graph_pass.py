"""The pass of waiting jobs through their graphs, level by level, in one worker thread.

::

    level 0              level 1     level 2
    tokenizer_image ─┐            ┌─ head_image_classification
                     ├─► trunk ─► ┤
    tokenizer_text  ─┘            └─ head_text_sentiment

Within a level, the rows of all jobs that need the same graph, in the same length, are one batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omnivec2.errors import OmniVecError, RefusedTensorsError
from omnivec2.parts import MASK
from service.runtimes.base import Inference
from service.runtimes.batch_memory import rows_within
from service.runtimes.embedded.batching.batch_rows import (
    Batch,
    Rows,
    join_rows,
    length_bucket,
)
from service.runtimes.embedded.batching.token_padding import (
    count_tokens,
    restore_tokens,
    trim_tokens,
)
from service.runtimes.ensemble import Dataflow

# A worker thread survives every failure of a batch.
BATCH_ERRORS = (
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
    def max_token_pairs(self) -> int:
        """The most pairs of tokens of one batch of several rows; they take its memory."""

    @property
    def pads(self) -> bool:
        """Whether rows of different lengths may be padded to meet in a batch.

        Not where an output is as long as an input: it would come back with the padding on.
        """

    @property
    def token_tensors(self) -> Collection[str]:
        """The names of its tensors of which padding may be cut off; see ``token_padding``."""

    def count_tokens(self, inputs: Batch) -> int:
        """Return how many tokens of one row are compared with each other; 0 if it matters not."""

    def run(self, inputs: Batch) -> Batch:
        """Compute a batch; called in a worker thread."""


@dataclass(frozen=True)
class BatchObserver:
    """Callbacks for every computed batch, called in the worker threads.

    Attributes:
        on_batch: A callback: (graph's name, rows, seconds).
        on_tokens: A callback: (graph's name, real tokens, tokens of padding), where there are
            masks.
    """

    on_batch: Callable[[str, int, float], None] = lambda *_: None
    on_tokens: Callable[[str, int, int], None] = lambda *_: None


@dataclass(slots=True)
class _Run:
    """The rows of a job in a batch.

    Attributes:
        outputs: The outputs of the whole batch: name -> array (batch, ...).
        rows: The number of rows of the whole batch.
        start: The index of the job's first row.
        stop: The index after its last row.
        ready: The time at which the job could have been computed.
        started: The time at which the batch was.
        seconds: The time it took.
    """

    outputs: Batch
    rows: int
    start: int
    stop: int
    ready: float
    started: float
    seconds: float

    @property
    def ended(self) -> float:
        """The time at which the batch was computed."""
        return self.started + self.seconds

    def inference(self) -> Inference:
        """Return the job's rows and their share of the time."""
        own = slice(self.start, self.stop)
        outputs = {name: array[own] for name, array in self.outputs.items()}
        share = self.seconds * (self.stop - self.start) / self.rows
        return Inference(outputs, self.started - self.ready, self.seconds, share)


@dataclass(eq=False, slots=True)
class Job:
    """The rows of one request on their way through a dataflow.

    Attributes:
        dataflow: The nodes that are to be run.
        graphs: The graph of each node; the job keeps them, so that they may be replaced while
            it is under way.
        inputs: The tensors of the request: name -> array (rows, ...).
        rows: The number of rows.
        future: The future of the answers of all nodes, in the loop of the request.
        key: The key of the jobs it may share a pass with.
        arrived: The value of ``time.perf_counter()`` when it was submitted.
        patience: The seconds for which more urgent jobs that arrive later go before it.
        runs: The run of each node, as far as they are done: index of the node -> run.
        failure: The error that has ended it.
    """

    dataflow: Dataflow
    graphs: Sequence[BatchedGraph]
    inputs: Batch
    rows: int
    future: asyncio.Future[list[Inference]]
    key: Hashable = None
    patience: float = 0.0
    arrived: float = field(default_factory=time.perf_counter)
    runs: dict[int, _Run] = field(default_factory=dict)
    failure: Exception | None = None

    @property
    def turn(self) -> float:
        """The time by which waiting jobs are put in order: the earliest goes first."""
        return self.arrived + self.patience

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to run: all is done, it has failed or was cancelled."""
        return (
            self.failure is not None
            or len(self.runs) == len(self.graphs)
            or self.future.cancelled()
        )

    def inputs_of(self, node: int) -> dict[str, Rows]:
        """Return the inputs of a node whose sources have run: tensor -> rows."""
        given: dict[str, Rows] = {}
        for tensor, origin in self.dataflow.nodes[node].inputs:
            if origin.node is None:
                given[tensor] = Rows(self.inputs[origin.tensor], 0, self.rows)
            else:
                run = self.runs[origin.node]
                given[tensor] = Rows(run.outputs[origin.tensor], run.start, run.stop)
        return given

    def ready_at(self, node: int) -> float:
        """Return when a node could be run: when its last source had run."""
        sources = self.dataflow.nodes[node].sources
        return max([self.runs[source].ended for source in sources], default=self.arrived)

    def answers(self) -> list[Inference]:
        """Return the answer of each node; all have run."""
        return [self.runs[node].inference() for node in range(len(self.graphs))]


@dataclass(slots=True)
class _Task:
    """A node of a job that is to be run now."""

    job: Job
    node: int
    inputs: dict[str, Rows]


def run_before_meeting(jobs: Sequence[Job], observer: BatchObserver) -> None:
    """Run the levels before those in which the jobs meet: their tokenizers."""
    for level in range(-max(job.dataflow.meeting_level for job in jobs), 0):
        _run_level(jobs, level, observer, lambda _: None)


def run_from_meeting(
    jobs: Sequence[Job], observer: BatchObserver, deliver: Callable[[Sequence[Job]], None]
) -> None:
    """Run the level in which the jobs meet, the trunk's, and those after it.

    Args:
        jobs: The jobs.
        observer: The callbacks for every batch.
        deliver: A callback for jobs that are over.
    """
    levels = max(len(job.dataflow.levels) - job.dataflow.meeting_level for job in jobs)
    for level in range(levels):
        _run_level(jobs, level, observer, deliver)


def _run_level(
    jobs: Sequence[Job],
    level: int,
    observer: BatchObserver,
    deliver: Callable[[Sequence[Job]], None],
) -> None:
    """Run the nodes of one level, counted from that in which the jobs meet."""
    groups: dict[Hashable, list[_Task]] = {}
    for job in jobs:
        index = level + job.dataflow.meeting_level
        if job.is_over or not 0 <= index < len(job.dataflow.levels):
            continue
        for node in job.dataflow.levels[index]:
            graph, inputs = job.graphs[node], job.inputs_of(node)
            bucket = length_bucket([rows.array for rows in inputs.values()], graph.pads)
            groups.setdefault((id(graph), bucket), []).append(_Task(job, node, inputs))
    for tasks in groups.values():
        for batch in _batches(tasks):
            _run_batch([task for task in batch if not task.job.is_over], observer)
            if over := [task.job for task in batch if task.job.is_over]:
                deliver(over)


def _batches(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Split the tasks of one graph so that no batch exceeds its rows, or its memory."""
    graph = tasks[0].job.graphs[tasks[0].node]
    batch: list[_Task] = []
    rows = longest = 0
    for task in tasks:
        tokens = graph.count_tokens({name: own.array for name, own in task.inputs.items()})
        # Shorter rows are padded to the longest.
        longest = max(longest, tokens)
        most = rows_within(graph.max_token_pairs, longest, graph.max_rows)
        if batch and rows + task.job.rows > most:
            yield batch
            batch, rows, longest = [], 0, tokens
        batch.append(task)
        rows += task.job.rows
    yield batch


def _run_batch(tasks: Sequence[_Task], observer: BatchObserver) -> None:
    """Run a graph on the rows of several jobs; a failure ends the jobs whose fault it is."""
    if not tasks:
        return
    graph = tasks[0].job.graphs[tasks[0].node]
    started = time.perf_counter()
    try:
        batch = {
            tensor: join_rows([task.inputs[tensor] for task in tasks]) for tensor in tasks[0].inputs
        }
        outputs = _run_trimmed(graph, batch, observer)
    except BATCH_ERRORS as error:
        if isinstance(error, RefusedTensorsError) and len(tasks) > 1:
            # One request's values must not fail those it happened to meet.
            for task in tasks:
                _run_batch([task], observer)
            return
        for task in tasks:
            task.job.failure = error
        return
    seconds = time.perf_counter() - started
    total = sum([task.job.rows for task in tasks])
    start = 0
    for task in tasks:
        job = task.job
        stop = start + job.rows
        ready = job.ready_at(task.node)
        job.runs[task.node] = _Run(outputs, total, start, stop, ready, started, seconds)
        start = stop
    observer.on_batch(graph.name, total, seconds)


def _run_trimmed(graph: BatchedGraph, batch: Batch, observer: BatchObserver) -> Batch:
    """Run a graph without the tokens that are padding in every row, where that is possible."""
    tensors = graph.token_tensors
    trimmed = trim_tokens(batch, tensors) if tensors else batch
    outputs = graph.run(trimmed)
    real, padding = count_tokens(trimmed)
    if real or padding:
        observer.on_tokens(graph.name, real, padding)
    return outputs if trimmed is batch else restore_tokens(outputs, tensors, batch[MASK].shape[1])
