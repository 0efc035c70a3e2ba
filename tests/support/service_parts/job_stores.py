"""Stores of jobs for tests, and what they are filled with."""

from __future__ import annotations

from service.jobs.job import Job, JobRequest, new_id
from service.jobs.stores.job_store import JobStore, StoreLimits

LIMITS = StoreLimits(
    jobs=4, jobs_per_owner=2, body_bytes=3 * 2**20, keep_seconds=600, lease_seconds=1
)
REQUEST = JobRequest("text", ("sentiment",), content_type="text/plain", webhook="https://a.example")


async def added(store: JobStore, body: bytes = b"good", owner: str = "") -> Job:
    """Add a job with a body."""
    job_id = new_id()
    sink = await store.new_body(job_id)
    await sink.write(body)
    await sink.flush()
    return await store.add(job_id, owner, REQUEST, len(body))
