"""``GET`` and ``DELETE /jobs/{id}``: what has become of a job, and its cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import SwitchedOffError
from service.http.job_submission import RETRY_SECONDS
from service.jobs.job import Job
from service.jobs.job_document import job_document

if TYPE_CHECKING:
    from service.jobs.job_service import JobService

router = APIRouter(tags=["jobs"])

PATH = "/jobs/{id}"


@router.get(PATH, summary="A job, and its answer once it is done", response_class=Response)
async def get_job(request: Request, id: str) -> Response:
    """Return the state of a job, its progress, and its answer or its problem.

    While it is not over, `Retry-After` says when to ask again.
    """
    return _response(await _jobs(request).get(id))


@router.delete(PATH, summary="Cancel a job", response_class=Response)
async def delete_job(request: Request, id: str) -> Response:
    """Cancel a job, wherever it is worked on; one that is over stays as it is."""
    return _response(await _jobs(request).cancel(id))


def _jobs(request: Request) -> JobService:
    jobs: JobService | None = request.app.state.jobs
    if jobs is None:
        raise SwitchedOffError("jobs are off: set OMNIVEC2_JOBS_STORE to sqlite or redis")
    return jobs


def _response(job: Job) -> Response:
    headers = {"Cache-Control": "no-store"}
    if not job.state.is_final:
        headers["Retry-After"] = RETRY_SECONDS
    return Response(job_document(job), 200, headers, "application/json")
