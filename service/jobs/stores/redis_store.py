"""Jobs in the Valkey or Redis that gateways share: a stream with a consumer group.

::

    omnivec2:jobs:queue      stream: one entry per job that is not over; the group is "gateways"
    omnivec2:jobs:bodies     hash: id -> bytes and owner of the jobs that are not over
    omnivec2:jobs:job:<id>   hash: the job, and its answer at the end; expires
    omnivec2:jobs:body:<id>  list: its body in pieces of a mebibyte; expires, and ends with the job
    omnivec2:jobs:done:<id>  list: what is computed of it already; expires, and ends with the job

A gateway gets a job by ``XREADGROUP``; that of a gateway which died is taken over by ``XAUTOCLAIM``
once it has been silent for the time of its lease. Bodies are in the store, so that gateways need no
directory that they share; a gateway copies one into a file while it works on it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivec2.errors import ArtifactError
from service.jobs.job import Job, JobRequest, JobState, Outcome, Progress
from service.jobs.stores import redis_scripts
from service.jobs.stores.job_queue import GROUP, STREAM, JobQueue
from service.jobs.stores.job_store import (
    Claim,
    JobCounts,
    JobStoreAwayError,
    StoreLimits,
    check_counts,
)
from service.jobs.stores.list_sink import ListSink
from service.shared_state.shared_store import PREFIX
from service.shared_state.store_address import client_url, shown_address

if TYPE_CHECKING:
    from redis.asyncio import Redis

_BODIES = f"{PREFIX}jobs:bodies"
_JOB = f"{PREFIX}jobs:job:"
_BODY = f"{PREFIX}jobs:body:"
_PIECES = f"{PREFIX}jobs:done:"

_TIMEOUT_SECONDS = 10.0
"""The time of one call besides what it is told to wait; nobody's request waits for a store that is
away, but for those about jobs."""


class RedisJobStore:
    """A ``JobStore`` in a Valkey or Redis.

    Args:
        url: The address; see ``store_address.client_url``.
        directory: The directory of the bodies that are worked on.
        limits: The limits on what it takes and keeps.
        clock: A clock in seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        limits: StoreLimits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = client_url(url)
        self._address = shown_address(self._url)
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._client: Redis | None = None
        self._scripts: dict[str, Any] = {}
        self._queue = JobQueue(self.call, limits.lease_seconds)

    async def open(self) -> None:
        """Make a client; see ``JobStore.open``. A store that is away now may come later."""
        try:
            from redis.asyncio import Redis
        except ModuleNotFoundError as error:
            raise ArtifactError(
                "OMNIVEC2_JOBS_STORE=redis needs the client of the store:"
                " pip install 'omnivec2-serve[shared-state]'"
            ) from error
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"bodies of jobs cannot be kept in {self._directory}: {error.strerror}"
            ) from error
        self._client = Redis.from_url(
            self._url, socket_connect_timeout=_TIMEOUT_SECONDS, client_name="omnivec2-jobs"
        )

    async def close(self) -> None:
        """Close the connections; see ``JobStore.close``."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def check_room(self, owner: str, nbytes: int) -> None:
        """Refuse a job that there is no room for; see ``JobStore.check_room``."""
        jobs, own, held = await self._script(redis_scripts.COUNT, "", [_JOB, owner])
        check_counts(self._limits, owner, jobs, own, held + nbytes)

    async def new_body(self, job_id: str) -> ListSink:
        """Return the sink of a body; see ``JobStore.new_body``."""
        return ListSink(self.call, _BODY + job_id)

    async def add(self, job_id: str, owner: str, request: JobRequest, nbytes: int) -> Job:
        """Add and queue a job; see ``JobStore.add``."""
        now, limits = self._clock(), self._limits
        job = Job(job_id, owner, request, nbytes, now, now + limits.keep_seconds)
        values = [_JOB, owner, job_id, request.to_json(), nbytes, now]
        most = [limits.jobs, limits.jobs_per_owner, limits.body_bytes]
        kept = [int(limits.keep_seconds * 1000), job.expires]
        found = await self._script(redis_scripts.ADD, job_id, values + most + kept)
        if found is not None:
            check_counts(limits, owner, found[0], found[1], found[2] + nbytes)
        return job

    async def get(self, job_id: str) -> Job | None:
        """Return a job; see ``JobStore.get``."""
        fields = await self.call(lambda client: client.hgetall(_JOB + job_id))
        return _job_of(job_id, fields) if fields else None

    async def claim(self, worker: str, wait_seconds: float) -> Claim | None:
        """Return a job to work on; see ``JobStore.claim``."""
        await self._queue.make_group()
        entry = await self._queue.abandoned(worker)
        entry = entry or await self._queue.next_one(worker, wait_seconds)
        if entry is None:
            return None
        entry_id, fields = entry
        job_id = (fields or {}).get(b"id", b"").decode()
        values = [entry_id, GROUP, worker, self._clock()]
        if not await self._script(redis_scripts.CLAIM, job_id, values):
            return None
        job = await self.get(job_id)
        return None if job is None else Claim(job, worker)

    async def beat(self, claim: Claim, progress: Progress) -> JobState | None:
        """Keep a claim; see ``JobStore.beat``."""
        total = "" if progress.total is None else progress.total
        values = [GROUP, claim.worker, progress.done, total]
        state = await self._script(redis_scripts.BEAT, claim.job.id, values)
        return JobState(state.decode()) if state else None

    async def keep_piece(self, claim: Claim, index: int, data: bytes) -> bool:
        """Keep a computed piece; see ``JobStore.keep_piece``."""
        values = [claim.worker, index, data]
        return bool(await self._script(redis_scripts.KEEP_PIECE, claim.job.id, values))

    async def pieces(self, job_id: str) -> list[bytes]:
        """Return the pieces that are kept; see ``JobStore.pieces``."""
        found: list[bytes] = await self.call(lambda client: client.lrange(_PIECES + job_id, 0, -1))
        return found

    async def release(self, claim: Claim) -> None:
        """Give a job back; see ``JobStore.release``."""
        values = [GROUP, claim.worker, claim.job.id]
        await self._script(redis_scripts.RELEASE, claim.job.id, values)

    async def finish(self, job_id: str, outcome: Outcome) -> bool:
        """Store the end of a job; see ``JobStore.finish``."""
        now, keep = self._clock(), self._limits.keep_seconds
        values = [GROUP, job_id, str(outcome.state), now, now + keep]
        values += [outcome.head_json(), outcome.body, int(keep * 1000)]
        return bool(await self._script(redis_scripts.FINISH, job_id, values))

    @asynccontextmanager
    async def body(self, job: Job) -> AsyncIterator[Path]:
        """Copy the body of a job into a file; see ``JobStore.body``."""
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="body-") as directory:
            path = Path(directory) / "body"
            path.touch(mode=0o600)
            index = 0
            while chunk := await self._chunk(job.id, index):
                await asyncio.to_thread(_append, path, chunk)
                index += 1
            yield path

    async def counts(self) -> JobCounts:
        """Return the number of jobs; see ``JobStore.counts``."""
        await self._queue.make_group()
        length = await self.call(lambda client: client.xlen(STREAM))
        pending = await self.call(lambda client: client.xpending(STREAM, GROUP))
        first = await self.call(lambda client: client.xrange(STREAM, count=1))
        running = int(pending["pending"])
        oldest = None
        if first and (job_id := first[0][1].get(b"id")):
            created = await self.call(lambda client: client.hget(_JOB + job_id.decode(), "created"))
            oldest = float(created) if created else None
        return JobCounts(max(0, length - running), running, oldest)

    async def purge(self) -> None:
        """Forget workers that are gone; what has expired, the store removes by itself."""
        await self._queue.make_group()
        await self._script(redis_scripts.PURGE, "", [GROUP, int(self._limits.lease_seconds * 2000)])

    async def call(self, use: Callable[[Redis], Awaitable[Any]], seconds: float = 0.0) -> Any:
        """Return the result of one use of the store.

        Args:
            use: A call that gets the client.
            seconds: The time that the store is told to wait.

        Raises:
            JobStoreAwayError: It fails, or does not answer in time.
        """
        from redis.exceptions import RedisError

        if self._client is None:
            raise JobStoreAwayError("the store of jobs is closed")
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS + seconds):
                return await use(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            self._queue.forget_group()  # it may come back empty
            reason = str(error) or f"no answer within {_TIMEOUT_SECONDS:g} s"
            raise JobStoreAwayError(
                f"the store of jobs at {self._address} is away: {reason}"
            ) from error

    async def _script(self, text: str, job_id: str, values: list[Any]) -> Any:
        keys = [STREAM, _BODIES, _JOB + job_id, _BODY + job_id, _PIECES + job_id]

        def use(client: Redis) -> Awaitable[Any]:
            if (script := self._scripts.get(text)) is None:
                script = self._scripts[text] = client.register_script(text)
            result: Awaitable[Any] = script(keys, values)
            return result

        return await self.call(use)

    async def _chunk(self, job_id: str, index: int) -> bytes | None:
        chunk: bytes | None = await self.call(lambda client: client.lindex(_BODY + job_id, index))
        return chunk


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)


def _job_of(job_id: str, fields: Mapping[bytes, bytes]) -> Job:
    def number(name: bytes) -> float | None:
        return float(fields[name]) if name in fields else None

    state = JobState(fields[b"state"].decode())
    outcome = None
    if state.is_final:
        outcome = Outcome.from_parts(state, fields[b"head"], fields[b"body"])
    total = fields.get(b"total")
    return Job(
        id=job_id,
        owner=fields[b"owner"].decode(),
        request=JobRequest.from_json(fields[b"request"]),
        nbytes=int(fields[b"nbytes"]),
        created=float(fields[b"created"]),
        expires=float(fields[b"expires"]),
        state=state,
        attempts=int(fields[b"attempts"]),
        started=number(b"started"),
        finished=number(b"finished"),
        progress=Progress(int(fields.get(b"done", 0)), None if total is None else int(total)),
        outcome=outcome,
    )
