"""The jobs of a gateway: taking, showing and cancelling them, and the work on them."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from omnivec2.errors import InvalidInputError, OverloadedError, TooLargeError, UnknownJobError
from service.jobs.job import Job, JobRequest, JobState, Outcome, new_id
from service.jobs.job_runner import JobRunner
from service.jobs.stores.job_store import JobCounts, JobStore, JobStoreAwayError
from service.jobs.webhooks import Webhooks
from service.observability.job_metrics import JobMetrics
from service.request_context import REQUEST

_LOG = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9_-]{24}")
_COUNT_SECONDS = 2.0
"""The time between two counts of the jobs in the store, for the metrics."""

_PURGE_SECONDS = 60.0
_MOST_UPLOADS = 32
"""The most bodies of jobs that arrive at the same time."""

_LEFT_BEHIND_SECONDS = 3600.0
"""The time after the end of any work at which what it has left on disk is removed."""


class JobService:
    """The jobs of one gateway.

    Args:
        store: The store, which may be shared with other gateways.
        runner: The workers of this gateway.
        webhooks: The sender of webhooks.
        metrics: The metrics of jobs.
        directory: The directory of what is only needed while a job is worked on.
        max_body_bytes: The largest body.
        timeout_seconds: The longest time of the work on a job.

    Attributes:
        webhooks: The sender of webhooks.
        counts: The jobs in the store, as of the last count.
    """

    def __init__(
        self,
        store: JobStore,
        runner: JobRunner,
        webhooks: Webhooks,
        metrics: JobMetrics,
        directory: Path,
        max_body_bytes: int,
        timeout_seconds: float,
    ) -> None:
        self._store = store
        self._runner = runner
        self._metrics = metrics
        self._directory = directory
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds
        self._uploads = 0
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.webhooks = webhooks
        self.counts = JobCounts()

    async def start(self) -> None:
        """Open the store and start the workers.

        Raises:
            ArtifactError: The store cannot be used.
        """
        await self._store.open()
        await asyncio.to_thread(self._remove_left_behind)
        self._runner.start(self._end)
        self._tasks = [asyncio.create_task(self._look_after())]

    async def close(self) -> None:
        """Stop the workers, whose jobs go on elsewhere, and close the store. Idempotent."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
            await asyncio.wait((task,))
        self._tasks = []
        await self._runner.close()
        await self.webhooks.close()
        await self._store.close()

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest job that is not over; 0 if there is none."""
        oldest = self.counts.oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    async def submit(
        self, request: JobRequest, chunks: AsyncIterator[bytes], declared: int | None
    ) -> Job:
        """Return a new job, whose body is in the store, and which is queued.

        Args:
            request: The request.
            chunks: The body piece by piece; an iterator that refuses one that is too large.
            declared: The length of the body, if it is declared.

        Raises:
            TooLargeError: The body is declared to be too large.
            OverloadedError: There are too many jobs, or bytes of bodies, already.
            InvalidInputError: The body is empty.
            JobStoreAwayError: The store is away.
        """
        owner = _owner()
        if (declared or 0) > self._max_body_bytes:
            raise TooLargeError(
                f"the body is larger than {self._max_body_bytes:,} bytes", field="body"
            )
        await self._store.check_room(owner, declared or 0)
        if self._uploads >= _MOST_UPLOADS:
            raise OverloadedError("too many bodies of jobs are arriving", reason="jobs")
        self._uploads += 1
        try:
            job = await self._store_body(new_id(), owner, request, chunks)
        finally:
            self._uploads -= 1
        self._metrics.observe_accepted()
        return job

    async def get(self, job_id: str) -> Job:
        """Return a job of the caller's.

        Raises:
            UnknownJobError: There is none of that id, or it is another key's.
            JobStoreAwayError: The store is away.
        """
        job = await self._store.get(job_id) if _ID.fullmatch(job_id) else None
        if job is None or job.owner != _owner():
            raise UnknownJobError("there is no such job, or it has expired", field="id")
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job of the caller's, and return it; one that is over stays as it is.

        Raises:
            UnknownJobError: There is none of that id, or it is another key's.
            JobStoreAwayError: The store is away.
        """
        job = await self.get(job_id)
        if job.state.is_final:
            return job
        outcome = Outcome(JobState.CANCELLED)
        if not await self._store.finish(job_id, outcome):
            return await self.get(job_id)
        self._runner.cancel(job_id)
        ended = replace(job, state=JobState.CANCELLED, finished=time.time(), outcome=outcome)
        self._end(ended)
        return ended

    def _end(self, job: Job) -> None:
        """Count a job that ended, and send its webhook."""
        self._metrics.observe_ended(str(job.state), max(0.0, time.time() - job.created))
        self.webhooks.tell(job)

    async def _store_body(
        self, job_id: str, owner: str, request: JobRequest, chunks: AsyncIterator[bytes]
    ) -> Job:
        sink = await self._store.new_body(job_id)
        nbytes = 0
        try:
            async for chunk in chunks:
                nbytes += len(chunk)
                if chunk:
                    await sink.write(chunk)
            if not nbytes:
                raise InvalidInputError("the body is empty", field="body")
            await sink.flush()
            return await self._store.add(job_id, owner, request, nbytes)
        except BaseException:
            await asyncio.shield(_discard(sink.discard()))
            raise

    async def _look_after(self) -> None:
        """Count the jobs and remove those that have expired, regularly."""
        purged = 0.0
        while not self._is_closing:
            try:
                self.counts = await self._store.counts()
                if time.monotonic() - purged > _PURGE_SECONDS:
                    purged = time.monotonic()
                    await self._store.purge()
            except JobStoreAwayError:
                self.counts = JobCounts()
            except Exception:
                _LOG.exception("jobs could not be counted")
            await asyncio.sleep(_COUNT_SECONDS)

    def _remove_left_behind(self) -> None:
        """Remove what work has left on disk whose gateway was killed, long after it could run."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = time.time() - self._timeout_seconds - _LEFT_BEHIND_SECONDS
        for path in self._directory.iterdir():
            if path.is_dir() and path.stat().st_mtime < before:
                shutil.rmtree(path, ignore_errors=True)


async def _discard(call: Coroutine[Any, Any, None]) -> None:
    """Await the removal of a body that is of no use; one that fails expires, or is purged."""
    try:
        await call
    except (JobStoreAwayError, OSError) as error:
        _LOG.warning("the body of a job that was not accepted is left behind: %s", error)


def _owner() -> str:
    key = REQUEST.get().key
    return key.name if key is not None else ""
