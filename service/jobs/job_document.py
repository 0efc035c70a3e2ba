"""A job as ``/jobs/{id}`` shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pydantic import JsonValue

from service.jobs.job import Job, JobState


def job_document(job: Job) -> bytes:
    """Return the document of a job, as JSON.

    The answer is that of the synchronous route, as it is: it is not read again.
    """
    fields: dict[str, JsonValue] = {
        "id": job.id,
        "request_id": job.request.request_id,
        "state": str(job.state),
        "modality": job.request.modality,
        "tasks": list(job.request.tasks),
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "expires": _time(job.expires),
        "attempts": job.attempts,
        "progress": {"done": job.progress.done, "total": job.progress.total},
    }
    outcome = job.outcome
    if outcome is None or job.state is JobState.CANCELLED:
        return json.dumps(fields).encode()
    fields["status"] = outcome.status
    name = "problem"
    if job.state is JobState.DONE:
        name = "answer"
        fields["models"] = [{"name": n, "version": v} for n, v in outcome.models]
        fields["notes"] = [dict(note) for note in outcome.notes]
    return b'%b, "%b": %b}' % (json.dumps(fields).encode()[:-1], name.encode(), outcome.body)


def _time(seconds: float | None) -> str | None:
    """Return a time in the form of RFC 3339."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
