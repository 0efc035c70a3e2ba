"""Jobs of a running service: started by ``start_job`` of a client, waited for, or cancelled."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import httpx2

from omnivec2.errors import DeadlineExceededError, InvalidInputError, OmniVecError
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.http_messages import PredictMessage, error_of, predict_message, stated_wait
from omnivec2_api.input_values import FileValue, read_input
from omnivec2_api.predictor import split_route
from omnivec2_api.service_connection import Sender
from service.http.job_submission import PREFER_HEADER, RESPOND_ASYNC
from service.jobs.job import WEBHOOK_HEADER

OCTETS = "application/octet-stream"

Send = Callable[[Callable[[], httpx2.Response]], httpx2.Response]
"""Sends a request, once more if it has to be; see ``Client``."""

AsyncSend = Callable[[Callable[[], Awaitable[httpx2.Response]]], Awaitable[httpx2.Response]]
"""Sends a request, once more if it has to be; see ``AsyncClient``."""

SendFunction = TypeVar("SendFunction")
Made = TypeVar("Made")

_CHUNK_BYTES = 2**18


class JobCancelledError(OmniVecError):
    """The job was cancelled, so that it has no answer."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come.

    Attributes:
        state: The state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        done: The pieces of its input that are computed.
        total: All pieces; None while that is not known.
    """

    state: str
    done: int = 0
    total: int | None = None


class ServiceJob(Generic[Sender, SendFunction, Made]):
    """What the jobs of both clients have in common: where they are, and how they are asked.

    Args:
        location: The path of the job, ``/jobs/<id>``.
        client: The client of httpx.
        send: A function that sends its requests.
        make_answer: A function that makes an answer of the job's document.

    Attributes:
        location: The path of the job, by which any client of the same key finds it.
    """

    def __init__(
        self,
        location: str,
        client: Sender,
        send: SendFunction,
        make_answer: Callable[[Mapping[str, Any]], Made],
    ) -> None:
        self.location = location
        self._client: Sender = client
        self._send = send
        self._make_answer = make_answer


class RemoteJob(ServiceJob[httpx2.Client, Send, Answer]):
    """A job of a running service, which goes on whether this program does or not."""

    def progress(self) -> JobProgress:
        """Return how far the job has come.

        Raises:
            UnknownJobError: It has expired.
        """
        return _progress_of(self._document()[0])

    def wait(
        self,
        seconds: float | None = None,
        on_progress: Callable[[JobProgress], None] = lambda _: None,
    ) -> Answer:
        """Wait for the answer.

        Args:
            seconds: The longest time to wait; None waits as long as it takes.
            on_progress: The callback for every look at the job.

        Raises:
            DeadlineExceededError: It is not over within the time; it goes on nevertheless.
            JobCancelledError: It was cancelled.
            OmniVecError: It failed; the error is that of a request for the same input.
        """
        last = _last_time(seconds)
        while True:
            document, headers = self._document()
            on_progress(_progress_of(document))
            if _is_done(document, headers, self.location):
                return self._make_answer(document)
            time.sleep(_pause(headers, last, self.location))

    def cancel(self) -> JobProgress:
        """Cancel the job, and return what has become of it."""
        response = self._send(lambda: self._client.delete(self.location.lstrip("/")))
        return _progress_of(response.json())

    def _document(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        response = self._send(lambda: self._client.get(self.location.lstrip("/")))
        return response.json(), response.headers


class AsyncRemoteJob(ServiceJob[httpx2.AsyncClient, AsyncSend, Awaitable[Answer]]):
    """A job of a running service, as ``RemoteJob`` is, whose verbs are coroutines."""

    async def progress(self) -> JobProgress:
        """Return how far the job has come; see ``RemoteJob.progress``."""
        return _progress_of((await self._document())[0])

    async def wait(
        self,
        seconds: float | None = None,
        on_progress: Callable[[JobProgress], None] = lambda _: None,
    ) -> Answer:
        """Wait for the answer; see ``RemoteJob.wait``."""
        last = _last_time(seconds)
        while True:
            document, headers = await self._document()
            on_progress(_progress_of(document))
            if _is_done(document, headers, self.location):
                return await self._make_answer(document)
            await asyncio.sleep(_pause(headers, last, self.location))

    async def cancel(self) -> JobProgress:
        """Cancel the job, and return what has become of it."""
        response = await self._send(lambda: self._client.delete(self.location.lstrip("/")))
        return _progress_of(response.json())

    async def _document(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        response = await self._send(lambda: self._client.get(self.location.lstrip("/")))
        return response.json(), response.headers


@dataclass(frozen=True)
class JobMessage:
    """A request that starts a job.

    Attributes:
        message: The request.
        file: The file that is its body, piece by piece; None if the request has a body already.
    """

    message: PredictMessage
    file: Path | None = None


def job_message(
    route: str, value: Any, parameters: Mapping[str, Any], webhook: str | None, *, strict: bool
) -> JobMessage:
    """Return the request that starts a job; see ``Client.start_job`` for arguments.

    Raises:
        InvalidInputError: A file cannot be read.
    """
    modality, task = split_route(route)
    headers = {PREFER_HEADER: RESPOND_ASYNC}
    if webhook is not None:
        headers[WEBHOOK_HEADER] = webhook
    file = value.expanduser() if isinstance(value, Path) and not parameters else None
    if file is None:
        read = read_input(modality, value)
    else:
        read = FileValue(b"")
        headers["Content-Type"] = mimetypes.guess_type(file.name)[0] or OCTETS
        headers["Content-Length"] = str(_size(file))
    message = predict_message(modality, [task], read, parameters, strict=strict)
    return JobMessage(replace(message, headers={**message.headers, **headers}), file)


def post_job(client: httpx2.Client, job: JobMessage) -> httpx2.Response:
    """Post a request that starts a job.

    Raises:
        InvalidInputError: Its file cannot be read.
    """
    if job.file is None:
        return client.post(**job.message.as_arguments())
    with _open(job.file) as file:
        return client.post(job.message.path, headers=job.message.headers, content=file)


async def post_job_async(client: httpx2.AsyncClient, job: JobMessage) -> httpx2.Response:
    """Post a request that starts a job; see ``post_job``."""
    if job.file is None:
        return await client.post(**job.message.as_arguments())
    with await asyncio.to_thread(_open, job.file) as file:

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk

        return await client.post(job.message.path, headers=job.message.headers, content=chunks())


def job_answer(route: str, document: Mapping[str, Any], heads: Mapping[str, HeadInfo]) -> Answer:
    """Return the answer in the document of a job that is done.

    Args:
        route: The name of its head.
        document: The document.
        heads: The heads of the service, which know the families of the answers.
    """
    family = heads[route].family if route in heads else ""
    version = document["models"][0]["version"]
    request_id = document.get("request_id", "")
    answer, notes = document["answer"], document["notes"]
    return make_answer(route, family, answer, notes, version, request_id)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}", field="inputs") from error


def _size(path: Path) -> int:
    with _open(path) as file:
        return file.seek(0, os.SEEK_END)


def _last_time(seconds: float | None) -> float | None:
    """Return the time until which a job is waited for, in seconds of the monotonic clock."""
    return None if seconds is None else time.monotonic() + seconds


def _is_done(document: Mapping[str, Any], headers: Mapping[str, str], location: str) -> bool:
    """Whether a job has an answer.

    Raises:
        JobCancelledError: It was cancelled.
        OmniVecError: It failed.
    """
    state = document["state"]
    if state == "failed":
        problem = json.dumps(document["problem"]).encode()
        raise error_of(document["status"], headers, problem)
    if state == "cancelled":
        raise JobCancelledError(f"the job at {location} was cancelled")
    return bool(state == "done")


def _pause(headers: Mapping[str, str], last: float | None, location: str) -> float:
    """Return the seconds until a job is looked at again.

    Raises:
        DeadlineExceededError: It is not waited for so long.
    """
    pause = stated_wait(headers, 0)
    if last is not None and time.monotonic() + pause > last:
        raise DeadlineExceededError(f"the job at {location} is not over yet")
    return pause


def _progress_of(document: Mapping[str, Any]) -> JobProgress:
    progress = document["progress"]
    return JobProgress(document["state"], progress["done"], progress["total"])
