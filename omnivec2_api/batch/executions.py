"""Who answers the inputs of a run: a network or a service from this process, or a cluster."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from omnivec2_api.batch.answer_rows import AnswerRows
from omnivec2_api.batch.columns import Cells
from omnivec2_api.batch.items import BatchRequest, Item, Source
from omnivec2_api.batch.object_paths import read_ahead
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.predictor import Predictor


@dataclass(frozen=True)
class ClusterOptions:
    """How a Ray cluster is used.

    Attributes:
        address: The address of the cluster, ``auto`` for the one of this machine, or ``local`` for
            one that is started for this run.
        workers: The most workers; None for as many as the cluster has room for.
        worker_cpus: The cores of each; None for those of the smallest node, up to 8.
        worker_gpus: The GPUs of each, which may be a fraction.
    """

    address: str
    workers: int | None = None
    worker_cpus: int | None = None
    worker_gpus: float = 0.0


@dataclass(frozen=True)
class Job:
    """An input with its place in the table.

    Attributes:
        part: The number of its part.
        position: Its position in the part.
        item: The input.
    """

    part: int
    position: int
    item: Item


@dataclass(frozen=True)
class Done:
    """The rows of an input with its place in the table; see ``Job``."""

    part: int
    position: int
    rows: list[Cells]


class JobStream(Protocol):
    """Inputs with their places. Iterating again gives the same inputs again."""

    @property
    def has_parts(self) -> bool:
        """Whether an input may have several rows."""

    def __iter__(self) -> Iterator[Job]:
        """Yield the inputs, which are read as they are needed."""


@dataclass(frozen=True)
class GivenJobs:
    """Some inputs of a stream.

    Attributes:
        jobs: The inputs.
        has_parts: Whether an input may have several rows.
    """

    jobs: Sequence[Job]
    has_parts: bool

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)


@dataclass(frozen=True)
class Jobs:
    """The inputs of the parts that a run makes; may be sent to another process.

    Attributes:
        source: All inputs.
        part_inputs: The number of inputs of a part.
        wanted: Whether a part is to be made, for each.
    """

    source: Source
    part_inputs: int
    wanted: Sequence[bool]

    @property
    def has_parts(self) -> bool:
        """Whether an input may have several rows."""
        return self.source.has_parts

    def __iter__(self) -> Iterator[Job]:
        for part, chunk in itertools.compress(enumerate(self.chunks()), self.wanted):
            for position, item in enumerate(chunk):
                yield Job(part, position, item)

    def chunks(self) -> Iterator[list[Item]]:
        """Yield the inputs of all parts."""
        items = iter(self.source)
        while chunk := list(itertools.islice(items, self.part_inputs)):
            yield chunk


class Execution(Protocol):
    """Answers the inputs of a run."""

    @property
    def heads(self) -> tuple[HeadInfo, ...]:
        """The heads that answer."""

    def run(self, jobs: JobStream, request: BatchRequest) -> Generator[Done]:
        """Yield the rows of all jobs, each once, in any order.

        Args:
            jobs: The inputs; they are read as they are needed.
            request: The parameters of every input.

        Raises:
            OmniVecError: No more inputs are answered.
        """


class LocalExecution:
    """Inputs are answered by a predictor of this process, in their order.

    Args:
        predictor: The network, or the client of a service.
        heads: The heads that answer.
        concurrency: The number of inputs under way at the same time; None for the default.

    Attributes:
        heads: The heads that answer.
    """

    def __init__(
        self,
        predictor: Predictor,
        heads: tuple[HeadInfo, ...],
        concurrency: int | None = None,
    ) -> None:
        self._predictor, self.heads, self._concurrency = predictor, heads, concurrency

    def run(self, jobs: JobStream, request: BatchRequest) -> Generator[Done]:
        """Yield the rows of all jobs; see ``Execution.run``."""
        ahead, behind = itertools.tee(jobs)
        made = AnswerRows(self.heads, has_parts=jobs.has_parts)
        with closing(read_ahead(_values(ahead))) as values:
            results = self._predictor.run_tasks(
                self.heads[0].modality,
                [head.task for head in self.heads],
                values,
                request.parameters,
                concurrency=self._concurrency,
                strict=request.strict,
            )
            with closing(results):
                for job, result in zip(behind, results, strict=True):
                    yield Done(job.part, job.position, made.rows(job.item, result))


def _values(jobs: Iterable[Job]) -> Iterator[object]:
    return (job.item.value for job in jobs)
