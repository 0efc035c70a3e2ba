"""Requests that are answered later: ``Prefer: respond-async`` (RFC 7240) makes jobs of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from omnivec2.errors import InvalidParameterError, SwitchedOffError
from service.access.priority import granted_priority
from service.admission.arriving_bodies import ArrivingBody
from service.http.body import Body, declared_length
from service.http.http_exchange import HttpExchange
from service.http.raw_headers import header_text, request_header
from service.jobs.job import WEBHOOK_HEADER, JobRequest
from service.jobs.job_document import job_document
from service.pipeline.host_stages import Head
from service.request_context import REQUEST

if TYPE_CHECKING:
    from service.jobs.job_service import JobService

PREFER_HEADER = "Prefer"
APPLIED_HEADER = "Preference-Applied"
RESPOND_ASYNC = "respond-async"
_PREFER = PREFER_HEADER.lower().encode()
_WEBHOOK = WEBHOOK_HEADER.lower().encode()
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
RETRY_SECONDS = "1"
"""What ``Retry-After`` says of a job that is not over."""


class _SpooledBytes:
    """Whoever accounts for a body that goes to the store at once: it holds no memory."""

    def __init__(self) -> None:
        self.arrival = ArrivingBody(asyncio.get_running_loop().time())

    def hold_bytes(self, count: int) -> None:
        """Do nothing."""


def wants_job(scope: Scope) -> bool:
    """Whether a request is to be answered later."""
    if request_header(scope, _PREFER) is None:
        return False
    # A header may be given several times, each with several preferences.
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == _PREFER]
    preferences = _QUOTED.sub("", ",".join(values)).split(",")
    return any(p.partition(";")[0].strip().lower() == RESPOND_ASYNC for p in preferences)


def refuse_webhook(scope: Scope) -> None:
    """Refuse the address of a webhook on a request that is answered now.

    Raises:
        InvalidParameterError: It has one, at which its caller would wait in vain.
    """
    if request_header(scope, _WEBHOOK) is not None:
        raise InvalidParameterError(
            f"{WEBHOOK_HEADER} is told of the end of jobs, and this request is none: add"
            f" {PREFER_HEADER}: {RESPOND_ASYNC}",
            field=WEBHOOK_HEADER,
        )


async def submit_job(
    request: Request, exchange: HttpExchange, heads: Sequence[Head], *, is_several: bool
) -> Response:
    """Return the answer 202 to a request that became a job.

    Args:
        request: The request; nothing of its body has been read.
        exchange: Its exchange, which is open for the heads.
        heads: The heads that it is for.
        is_several: Whether the answer is one per task.

    Raises:
        SwitchedOffError: There is no store of jobs.
        OmniVecError: The job is not taken; see ``JobService.submit``.
    """
    jobs: JobService | None = request.app.state.jobs
    settings = exchange.gateway.settings
    if jobs is None:
        raise SwitchedOffError(
            "jobs are off, so that nothing can be answered later: set OMNIVEC2_JOBS_STORE to"
            f" sqlite or redis, or leave out {PREFER_HEADER}: {RESPOND_ASYNC}"
        )
    # Jobs have a time and a class of their own; what is no time or class is refused all the same.
    exchange.timeout_seconds()
    granted_priority(exchange.asked_priority(), None)
    webhook = (header_text(request.scope, _WEBHOOK) or "").strip()
    if webhook:
        jobs.webhooks.check(webhook)
    body = Body(request, _SpooledBytes(), settings.jobs_upload_seconds)
    wanted = JobRequest(
        modality=heads[0].spec.modality.value,
        tasks=tuple(head.spec.task for head in heads),
        is_several=is_several,
        content_type=request.headers.get("content-type", ""),
        is_strict=exchange.is_strict(),
        request_id=REQUEST.get().request_id,
        webhook=webhook,
    )
    chunks = body.chunks(settings.jobs_max_body_bytes)
    job = await jobs.submit(wanted, chunks, declared_length(request.headers))
    headers = {
        "Location": f"/jobs/{job.id}",
        APPLIED_HEADER: RESPOND_ASYNC,
        "Retry-After": RETRY_SECONDS,
    }
    return Response(job_document(job), 202, headers, "application/json")
