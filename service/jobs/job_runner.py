"""The workers of a gateway that take jobs from the store, one after the other.

::

    claim ─► work ─► finish ─► webhook          while it works: beat, four times a second, which
       ▲       └─ no room, no engine ─► release       renews the claim, stores the progress, and
       └───────────────────────────────────┘          tells of a DELETE at any gateway
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic_core import to_json

from omnivec2.errors import (
    DeadlineExceededError,
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    RefusedTensorsError,
)
from service.errors import problem_document, status_of
from service.jobs.cutting.kept_pieces import KeptPieces
from service.jobs.job import Job, JobState, Outcome, Progress
from service.jobs.stores.job_store import Claim, JobStore, JobStoreAwayError
from service.jobs.turns import NoBudgetError

_LOG = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
"""The time that the store is told to wait for a job."""

_BEAT_SECONDS = 0.25
"""The time between two beats: a job that is cancelled computes that much longer."""

_RETRY_SECONDS = 1.0
"""The pause after a job was given back, or the store was away."""

_MOST_ATTEMPTS = 3
"""How often a job is begun without getting on before it is taken for one that ends gateways."""

_STORE_SECONDS = 120.0
"""The time in which an answer is stored while the store is away; after it the work is lost, and
another gateway does it again."""


class Work(Protocol):
    """What turns a job into an answer; see ``JobWork``."""

    async def answer(
        self, job: Job, body: Path, report: Callable[[Progress], None], kept: KeptPieces
    ) -> Outcome:
        """Return the answer to a job."""


class JobRunner:
    """The workers of one gateway.

    Args:
        store: The store of jobs.
        work: The work on a job.
        workers: The number of jobs at the same time.
        timeout_seconds: The longest time of one attempt.
    """

    def __init__(
        self,
        store: JobStore,
        work: Work,
        workers: int,
        timeout_seconds: float,
    ) -> None:
        self._store = store
        self._work = work
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._on_end: Callable[[Job], None] = lambda _: None
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._working: dict[str, asyncio.Task[Outcome]] = {}

    def start(self, on_end: Callable[[Job], None]) -> None:
        """Start the workers.

        Args:
            on_end: The callback for a job that ended here; it has its outcome.
        """
        self._on_end = on_end
        process = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        names = [f"{process}:{number}" for number in range(self._workers)]
        self._tasks = [asyncio.create_task(self._serve(name)) for name in names]

    async def close(self) -> None:
        """Stop the workers; their jobs are given back for other gateways. Idempotent."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

    def cancel(self, job_id: str) -> None:
        """Stop the work on a job that was cancelled, if it is done here."""
        if (task := self._working.get(job_id)) is not None:
            task.cancel()

    async def _serve(self, worker: str) -> None:
        is_away = False
        while not self._is_closing:
            try:
                claim = await self._store.claim(worker, _WAIT_SECONDS)
                if is_away:
                    _LOG.info("the store of jobs is in use again")
                is_away = False
                if claim is not None:
                    await self._run(claim)
            except JobStoreAwayError as error:
                if not is_away:
                    _LOG.error("no jobs are worked on: %s", error)
                is_away = True
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:  # a defect in the work on one job must not end the work on all
                _LOG.exception("a worker of jobs failed")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _run(self, claim: Claim) -> None:
        """Work on a job until it is over, given back or lost."""
        job = claim.job
        kept = KeptPieces(self._store, claim)
        if job.attempts > _MOST_ATTEMPTS and (
            job.attempts > _MOST_ATTEMPTS + await kept.last_attempt()
        ):
            await self._finish(claim, _failure(job, _EndsGatewaysError()))
            return
        progress = [Progress()]
        working = asyncio.create_task(self._answer(job, progress.append, kept))
        self._working[job.id] = working
        beating = asyncio.create_task(self._keep_claim(claim, progress, working))
        try:
            await asyncio.wait((working,))
            outcome = working.result()
        except asyncio.CancelledError:
            if not working.done():  # this gateway is stopping
                working.cancel()
                await asyncio.wait((working,))
                with contextlib.suppress(JobStoreAwayError):
                    await self._store.release(claim)
                raise
            return  # it was cancelled, or is another's
        except (NoBudgetError, OverloadedError) as error:
            await self._give_back(claim, error)
            return
        except ModelNotReadyError as error:
            if not isinstance(error, RefusedTensorsError):
                await self._give_back(claim, error)
                return
            outcome = _failure(job, error)
        except OmniVecError as error:
            outcome = _failure(job, error)
        except Exception as error:
            _LOG.exception("job %s failed", job.id)
            outcome = _failure(job, error)
        finally:
            beating.cancel()
            await asyncio.wait((beating,))
            del self._working[job.id]
        with contextlib.suppress(JobStoreAwayError):
            await self._store.beat(claim, progress[-1])
        await self._finish(claim, outcome)

    async def _answer(
        self, job: Job, report: Callable[[Progress], None], kept: KeptPieces
    ) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._store.body(job) as body:
                return await self._work.answer(job, body, report, kept)
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {self._timeout_seconds:g} s") from error

    async def _keep_claim(
        self, claim: Claim, progress: list[Progress], working: asyncio.Task[Outcome]
    ) -> None:
        """Renew the claim, and stop the work once it is cancelled or another's.

        It ends with the work, as a client of a store may swallow that this is cancelled.
        """
        while not working.done():
            await asyncio.sleep(_BEAT_SECONDS)
            del progress[:-1]
            try:
                state = await self._store.beat(claim, progress[-1])
            except JobStoreAwayError as error:
                _LOG.warning("the claim on job %s is not renewed: %s", claim.job.id, error)
                continue
            if state is not JobState.RUNNING:
                working.cancel()

    async def _give_back(self, claim: Claim, error: Exception) -> None:
        """Queue a job again that cannot be answered now, and let others come first."""
        _LOG.info("job %s waits: %s", claim.job.id, error.__cause__ or error)
        await self._store.release(claim)
        await asyncio.sleep(_RETRY_SECONDS)

    async def _finish(self, claim: Claim, outcome: Outcome) -> None:
        """Store the end of a job, and tell of it if it is the first."""
        job_id = claim.job.id
        is_first = await _within(_STORE_SECONDS, lambda: self._store.finish(job_id, outcome))
        if not is_first:
            return
        finished = replace(claim.job, state=outcome.state, finished=time.time(), outcome=outcome)
        _LOG.info("job %s: %s", job_id, outcome.state)
        self._on_end(finished)


class _EndsGatewaysError(Exception):
    """A job was begun several times, and never came to an end."""


async def _within(seconds: float, call: Callable[[], Awaitable[bool]]) -> bool:
    """Return the result of a use of the store, which is tried again while it is away."""
    last = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except JobStoreAwayError:
            if time.monotonic() > last:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


def _failure(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a job that cannot be answered."""
    known = error if isinstance(error, OmniVecError) else OmniVecError(repr(error))
    document = problem_document(known, f"/jobs/{job.id}")
    if isinstance(error, _EndsGatewaysError):
        document["detail"] = document["error"] = (
            f"the gateways that worked on the job {_MOST_ATTEMPTS} times did not get on with it"
        )
    return Outcome(JobState.FAILED, int(status_of(type(known))), to_json(document))
