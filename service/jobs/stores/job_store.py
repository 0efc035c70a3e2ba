"""The interface of the stores of jobs.

::

    new_body ─► add ─► claim ─► beat … beat ─► finish      (the first answer that is stored stays)
                 │       ▲  │   keep_piece                 (pieces outlive the claim, not the job)
                 │       │  └──► release ─┐
                 │       └────────────────┘  and whoever finds a claim whose gateway has not
                 └─► cancel                  called beat for the time of its lease claims it again

So a job is delivered at least once, and answered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omnivec2.errors import ModelNotReadyError, OverloadedError
from service.jobs.job import Job, JobRequest, JobState, Outcome, Progress


class JobStoreAwayError(ModelNotReadyError):
    """The store of jobs cannot be used now (503, as where a model cannot)."""


@dataclass(frozen=True)
class StoreLimits:
    """What a store takes, and how long it keeps it.

    Attributes:
        jobs: The most jobs that are not over.
        jobs_per_owner: The most of one API key.
        body_bytes: The most bytes of the bodies of all of them.
        keep_seconds: The time after which a job is forgotten, counted from when it was made, and
            again from its end.
        lease_seconds: The time after which a job is taken from a gateway that is silent.
    """

    jobs: int
    jobs_per_owner: int
    body_bytes: int
    keep_seconds: float
    lease_seconds: float


@dataclass(frozen=True)
class Claim:
    """A job that a gateway works on.

    Attributes:
        job: The job as it was claimed.
        worker: The name of the worker; no two claims have the same.
    """

    job: Job
    worker: str


@dataclass(frozen=True)
class JobCounts:
    """The jobs in a store that are not over.

    Attributes:
        queued: Those that wait.
        running: Those that are worked on.
        oldest: The time at which the oldest of both was made; None if there is none.
    """

    queued: int = 0
    running: int = 0
    oldest: float | None = None


class BodySink(Protocol):
    """The body of a job on its way into the store."""

    async def write(self, chunk: bytes) -> None:
        """Add a piece to the end."""

    async def flush(self) -> None:
        """Write what is left; to be called before the job is added."""

    async def discard(self) -> None:
        """Remove what was written: there will be no job."""


class JobStore(Protocol):
    """A place where jobs outlive gateways. Every method may raise ``JobStoreAwayError``."""

    async def open(self) -> None:
        """Prepare the store.

        Raises:
            ArtifactError: It cannot be used at all.
        """

    async def close(self) -> None:
        """Free what the store holds in this process. Idempotent."""

    async def check_room(self, owner: str, nbytes: int) -> None:
        """Refuse a job before its body is read if there is no room for it.

        Raises:
            OverloadedError: There are too many jobs, or bytes of bodies, already.
        """

    async def new_body(self, job_id: str) -> BodySink:
        """Return the sink of the body of a job that will be added."""

    async def add(self, job_id: str, owner: str, request: JobRequest, nbytes: int) -> Job:
        """Add a job whose body has been written, and queue it.

        Raises:
            OverloadedError: There are too many jobs, or bytes of bodies, already.
        """

    async def get(self, job_id: str) -> Job | None:
        """Return a job; None if there is none, or not any more."""

    async def claim(self, worker: str, wait_seconds: float) -> Claim | None:
        """Return a job to work on, the longest waiting first.

        Args:
            worker: The name of the worker, unlike all others.
            wait_seconds: The time to wait for one if there is none.
        """

    async def beat(self, claim: Claim, progress: Progress) -> JobState | None:
        """Keep a claim and store the progress.

        Returns:
            The state of the job; None if the claim is lost: the job is gone, or another's.
        """

    async def keep_piece(self, claim: Claim, index: int, data: bytes) -> bool:
        """Keep a computed piece of a job until the job is over.

        Args:
            claim: The claim on the job.
            index: The number of the piece; it takes the place of those kept from there on.
            data: The piece.

        Returns:
            Whether it is kept; not if the claim is lost, or a piece before it is missing.
        """

    async def pieces(self, job_id: str) -> Sequence[bytes]:
        """Return the pieces of a job that are kept, in their order."""

    async def release(self, claim: Claim) -> None:
        """Give a job back that is not over: it is queued again, and the attempt not counted."""

    async def finish(self, job_id: str, outcome: Outcome) -> bool:
        """Store the end of a job; return whether it was the first."""

    def body(self, job: Job) -> AbstractAsyncContextManager[Path]:
        """Return a context manager that yields a file with the body of a job."""

    async def counts(self) -> JobCounts:
        """Return the number of jobs that are not over."""

    async def purge(self) -> None:
        """Remove what has expired."""


def check_counts(
    limits: StoreLimits, owner: str, jobs: int, jobs_of_owner: int, nbytes: int
) -> None:
    """Refuse one more job if there are too many.

    Args:
        limits: The limits of the store.
        owner: The name of the API key; empty where none is required.
        jobs: The jobs that are not over.
        jobs_of_owner: Those among them of the key.
        nbytes: The bytes of all bodies, with that of the job.

    Raises:
        OverloadedError: A limit is reached.
    """
    if jobs >= limits.jobs:
        raise OverloadedError(f"{jobs:,} jobs are waiting already", reason="jobs")
    if owner and jobs_of_owner >= limits.jobs_per_owner:
        raise OverloadedError(
            f"the key {owner} has {jobs_of_owner:,} jobs that are not over, which is the limit",
            reason="jobs",
        )
    if nbytes > limits.body_bytes:
        raise OverloadedError(
            f"the bodies of jobs would hold {nbytes:,} bytes, at most {limits.body_bytes:,} are"
            " kept",
            reason="jobs",
        )
