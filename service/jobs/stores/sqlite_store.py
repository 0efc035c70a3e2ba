"""Jobs of a single machine: a SQLite file with a write-ahead log, and bodies as files beside it.

Several gateways on one machine may share the directory. Nothing else needs to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from omnivec2.errors import ArtifactError
from service.jobs.job import Job, JobRequest, JobState, Outcome, Progress
from service.jobs.stores.file_sink import FileSink
from service.jobs.stores.job_store import (
    Claim,
    JobCounts,
    JobStoreAwayError,
    StoreLimits,
    check_counts,
)
from service.jobs.stores.jobs_database import JobsDatabase

T = TypeVar("T")

_POLL_SECONDS = 0.2
"""The time between two looks for a job: SQLite tells nobody that there is one."""

_ORPHAN_SECONDS = 3600.0
"""The age at which a body without a job is removed: its upload was broken off."""

_OPEN = "state IN ('queued', 'running')"


class SqliteJobStore:
    """A ``JobStore`` in a directory.

    Args:
        directory: The directory; made if it is not there, for this user only.
        limits: The limits on what it takes and keeps.
        clock: A clock in seconds since 1970, which all processes share.
    """

    def __init__(
        self, directory: Path, limits: StoreLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = JobsDatabase(directory)
        self._bodies = directory / "bodies"
        self._limits = limits
        self._clock = clock
        # One thread, so that one connection is enough and the event loop never waits for a disk.
        self._thread = ThreadPoolExecutor(1, "jobs")

    async def open(self) -> None:
        """Make or open the file; see ``JobStore.open``."""
        try:
            await self._run(self._open)
        except (JobStoreAwayError, OSError) as error:
            raise ArtifactError(
                f"jobs cannot be kept in {self._database.directory}: {error}"
            ) from error

    async def close(self) -> None:
        """Close the file; see ``JobStore.close``."""
        if self._database.is_open:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def check_room(self, owner: str, nbytes: int) -> None:
        """Refuse a job that there is no room for; see ``JobStore.check_room``."""
        await self._run(partial(self._check_room, owner, nbytes))

    async def new_body(self, job_id: str) -> FileSink:
        """Return the sink of a body; see ``JobStore.new_body``."""
        return FileSink(self._bodies / job_id)

    async def add(self, job_id: str, owner: str, request: JobRequest, nbytes: int) -> Job:
        """Add and queue a job; see ``JobStore.add``."""
        now = self._clock()
        job = Job(job_id, owner, request, nbytes, now, now + self._limits.keep_seconds)
        await self._run(partial(self._insert, job))
        return job

    async def get(self, job_id: str) -> Job | None:
        """Return a job; see ``JobStore.get``."""
        query = "SELECT * FROM jobs WHERE id = ? AND expires > ?"
        row = await self._run(lambda: self._database.one(query, job_id, self._clock()))
        return None if row is None else _job_of(row)

    async def claim(self, worker: str, wait_seconds: float) -> Claim | None:
        """Return a job to work on; see ``JobStore.claim``."""
        last = time.monotonic() + wait_seconds
        while (row := await self._run(partial(self._claim, worker))) is None:
            if time.monotonic() + _POLL_SECONDS > last:
                await asyncio.sleep(max(0.0, last - time.monotonic()))
                return None
            await asyncio.sleep(_POLL_SECONDS)
        return Claim(_job_of(row), worker)

    async def beat(self, claim: Claim, progress: Progress) -> JobState | None:
        """Keep a claim; see ``JobStore.beat``."""
        return await self._run(partial(self._beat, claim, progress))

    async def keep_piece(self, claim: Claim, index: int, data: bytes) -> bool:
        """Keep a computed piece; see ``JobStore.keep_piece``."""
        return await self._run(partial(self._keep_piece, claim, index, data))

    async def pieces(self, job_id: str) -> list[bytes]:
        """Return the pieces that are kept; see ``JobStore.pieces``."""
        query = "SELECT data FROM pieces WHERE job = ? ORDER BY number"
        rows = await self._run(lambda: self._database.all(query, job_id))
        return [row[0] for row in rows]

    async def release(self, claim: Claim) -> None:
        """Give a job back; see ``JobStore.release``."""
        change = (
            "UPDATE jobs SET state = 'queued', worker = '', attempts = attempts - 1, position = ?"
            " WHERE id = ? AND worker = ? AND state = 'running'"
        )
        values = (self._clock(), claim.job.id, claim.worker)
        await self._run(lambda: self._database.change(change, *values))

    async def finish(self, job_id: str, outcome: Outcome) -> bool:
        """Store the end of a job; see ``JobStore.finish``."""
        now = self._clock()
        change = (
            "UPDATE jobs SET state = ?, finished = ?, expires = ?, worker = '', head = ?, body = ?"
            f" WHERE id = ? AND {_OPEN}"
        )
        values = (str(outcome.state), now, now + self._limits.keep_seconds, outcome.head_json())

        def store() -> bool:
            with self._database.transaction():
                is_first = self._database.change(change, *values, outcome.body, job_id) > 0
                self._database.change("DELETE FROM pieces WHERE job = ?", job_id)
            return is_first

        is_first = await self._run(store)
        await asyncio.to_thread((self._bodies / job_id).unlink, missing_ok=True)
        return is_first

    @asynccontextmanager
    async def body(self, job: Job) -> AsyncIterator[Path]:
        """Yield the file with the body of a job; see ``JobStore.body``."""
        yield self._bodies / job.id

    async def counts(self) -> JobCounts:
        """Return the number of jobs; see ``JobStore.counts``."""
        query = f"SELECT state, count(*), min(created) FROM jobs WHERE {_OPEN} GROUP BY state"
        rows = await self._run(lambda: self._database.all(query))
        found = {state: count for state, count, _ in rows}
        oldest = min((created for _, _, created in rows), default=None)
        return JobCounts(found.get("queued", 0), found.get("running", 0), oldest)

    async def purge(self) -> None:
        """Remove what has expired; see ``JobStore.purge``."""
        await self._run(self._purge)

    async def _run(self, call: Callable[[], T]) -> T:
        """Return the result of a call in the thread of the connection."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (sqlite3.Error, RuntimeError) as error:
            raise JobStoreAwayError(f"the jobs in {self._database.directory}: {error}") from error

    def _open(self) -> None:
        self._bodies.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database.open()

    def _check_room(self, owner: str, nbytes: int) -> None:
        query = (
            "SELECT count(*), coalesce(sum(owner = ?), 0), coalesce(sum(nbytes), 0)"
            f" FROM jobs WHERE {_OPEN} AND expires > ?"
        )
        row = self._database.one(query, owner, self._clock())
        assert row is not None, "a sum has a row"
        check_counts(self._limits, owner, row[0], row[1], row[2] + nbytes)

    def _insert(self, job: Job) -> None:
        with self._database.transaction():
            self._check_room(job.owner, job.nbytes)
            self._database.change(
                "INSERT INTO jobs (id, owner, request, nbytes, created, expires, position, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'queued')",
                *(job.id, job.owner, job.request.to_json(), job.nbytes, job.created, job.expires),
                job.created,
            )

    def _claim(self, worker: str) -> sqlite3.Row | None:
        now = self._clock()
        free = "state = 'queued' OR (state = 'running' AND lease < ?)"
        if self._database.one(f"SELECT 1 FROM jobs WHERE {free} LIMIT 1", now) is None:
            return None  # and nothing was locked
        change = (
            "UPDATE jobs SET state = 'running', worker = ?, lease = ?, attempts = attempts + 1,"
            " started = coalesce(started, ?), done = 0, total = NULL WHERE id ="
            f" (SELECT id FROM jobs WHERE ({free}) AND expires > ? ORDER BY position LIMIT 1)"
            " RETURNING *"
        )
        with self._database.transaction():
            lease = now + self._limits.lease_seconds
            return self._database.one(change, worker, lease, now, now, now)

    def _beat(self, claim: Claim, progress: Progress) -> JobState | None:
        now = self._clock()
        row = self._database.one(
            "SELECT state, worker, lease, done, total FROM jobs WHERE id = ?", claim.job.id
        )
        if row is None:
            return None
        state = JobState(row["state"])
        if state is not JobState.RUNNING or row["worker"] != claim.worker:
            return state if state.is_final else None
        is_late = row["lease"] - now < self._limits.lease_seconds * 2 / 3
        if is_late or (row["done"], row["total"]) != (progress.done, progress.total):
            changed = self._database.change(
                "UPDATE jobs SET lease = ?, done = ?, total = ?"
                " WHERE id = ? AND worker = ? AND state = 'running'",
                *(now + self._limits.lease_seconds, progress.done, progress.total),
                *(claim.job.id, claim.worker),
            )
            return JobState.RUNNING if changed else None
        return JobState.RUNNING

    def _keep_piece(self, claim: Claim, index: int, data: bytes) -> bool:
        job_id, is_ours = claim.job.id, "id = ? AND worker = ? AND state = 'running'"
        with self._database.transaction():
            claimed = f"SELECT 1 FROM jobs WHERE {is_ours}"
            if self._database.one(claimed, job_id, claim.worker) is None:
                return False
            (kept,) = self._database.all("SELECT count(*) FROM pieces WHERE job = ?", job_id)
            if index > kept[0]:
                return False
            self._database.change("DELETE FROM pieces WHERE job = ? AND number >= ?", job_id, index)
            self._database.change("INSERT INTO pieces VALUES (?, ?, ?)", job_id, index, data)
        return True

    def _purge(self) -> None:
        now = self._clock()
        gone = [row[0] for row in self._database.all("SELECT id FROM jobs WHERE expires <= ?", now)]
        self._database.change("DELETE FROM jobs WHERE expires <= ?", now)
        self._database.change("DELETE FROM pieces WHERE job NOT IN (SELECT id FROM jobs)")
        for job_id in gone:
            (self._bodies / job_id).unlink(missing_ok=True)
        for path in self._bodies.iterdir():
            with contextlib.suppress(OSError):
                is_old = now - path.stat().st_mtime > _ORPHAN_SECONDS
                if is_old and not self._database.one("SELECT 1 FROM jobs WHERE id = ?", path.name):
                    path.unlink()


def _job_of(row: sqlite3.Row) -> Job:
    state = JobState(row["state"])
    outcome = None
    if state.is_final:
        head = row["head"] or json.dumps({"status": 200, "models": [], "notes": []})
        outcome = Outcome.from_parts(state, head, bytes(row["body"] or b"null"))
    return Job(
        id=row["id"],
        owner=row["owner"],
        request=JobRequest.from_json(row["request"]),
        nbytes=row["nbytes"],
        created=row["created"],
        expires=row["expires"],
        state=state,
        attempts=row["attempts"],
        started=row["started"],
        finished=row["finished"],
        progress=Progress(row["done"], row["total"]),
        outcome=outcome,
    )
