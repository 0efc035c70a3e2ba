"""Requests to a service and what its responses mean, for both clients; nothing is sent here."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pydantic import JsonValue

from omnivec2 import errors
from omnivec2.errors import OmniVecError
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.input_values import FileValue, InputValue
from omnivec2_api.predictor import TaskAnswers, checked_parameters
from service.access.strictness import STRICT_HEADER
from service.http.notes_header import NOTES_HEADER, parse_notes

RETRIED_STATUS = frozenset({429, 503})
"""Responses after which the same request may succeed: the service is busy, or not ready yet."""

REQUEST_ID_HEADER = "X-Request-ID"

LONGEST_WAIT_SECONDS = 60.0
"""The longest wait before a request is sent again; with a longer ``Retry-After`` it fails."""

_FIRST_WAIT_SECONDS = 0.5
_MOST_RECONNECTIONS = 2
_PROBLEM_KINDS = "urn:omnivec2:problem:"
_OCTETS = "application/octet-stream"

# What a proxy in between answers, or an older service, whose problems are of no kind known here.
_ERRORS_BY_STATUS: Mapping[int, type[OmniVecError]] = {
    401: errors.UnauthenticatedError,
    403: errors.ForbiddenError,
    404: errors.UnknownModelError,
    413: errors.TooLargeError,
    415: errors.UnsupportedMediaTypeError,
    422: errors.InvalidInputError,
    429: errors.OverloadedError,
    502: errors.ModelNotReadyError,
    503: errors.ModelNotReadyError,
    504: errors.DeadlineExceededError,
}


@dataclass(frozen=True)
class PredictMessage:
    """A request to ``/predict``, in the terms of httpx.

    Attributes:
        path: The path with its query.
        headers: The headers of this request.
        json: The body as JSON; None for a form.
        files: The file of a form.
        data: The other fields of a form.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, JsonValue] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    data: Mapping[str, str] | None = None

    def as_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of httpx's ``post``."""
        return {
            "url": self.path,
            "headers": dict(self.headers),
            "json": self.json,
            "files": self.files,
            "data": self.data,
        }


def predict_message(
    modality: str,
    tasks: Sequence[str],
    value: InputValue,
    parameters: Mapping[str, Any],
    *,
    strict: bool = False,
) -> PredictMessage:
    """Return the request that asks several heads of a modality about one input."""
    path = f"predict/{modality}"
    path += f"/{tasks[0]}" if len(tasks) == 1 else f"?tasks={','.join(tasks)}"
    headers = {STRICT_HEADER: "true"} if strict else {}
    given = checked_parameters(parameters)
    if isinstance(value, FileValue):
        file = ("input", value.data, value.media_type or _OCTETS)
        data = {"parameters": json.dumps(given)} if given else None
        return PredictMessage(path, headers, files={"file": file}, data=data)
    content = value.value
    if isinstance(content, dict) and list(content) == ["table"]:
        return PredictMessage(path, headers, json={**content, "parameters": given})
    return PredictMessage(path, headers, json={"inputs": content, "parameters": given})


def task_answers(
    modality: str,
    tasks: Sequence[str],
    body: JsonValue,
    headers: Mapping[str, str],
    heads: Mapping[str, HeadInfo],
) -> TaskAnswers:
    """Return the answers in a response.

    Args:
        modality: The modality of the request.
        tasks: The tasks of the request.
        body: The body of the response.
        headers: The headers of the response.
        heads: The heads of the service, which know the families of the answers.
    """
    notes = parse_notes(headers.get(NOTES_HEADER, ""))
    versions = headers.get("X-Model-Version", "").split(",")
    values: Any = body if len(tasks) > 1 else {tasks[0]: body}
    return {
        task: make_answer(
            f"{modality}/{task}",
            heads[f"{modality}/{task}"].family if f"{modality}/{task}" in heads else "",
            values[task],
            notes,
            version,
            headers.get(REQUEST_ID_HEADER, ""),
        )
        for task, version in zip(tasks, versions, strict=True)
    }


@dataclass(frozen=True)
class RetryPolicy:
    """Which requests are sent again, and when.

    Attributes:
        url: The address of the service, for messages.
        timeout: The longest time that an answer may take, in seconds, for messages.
        retries: The most times that a request is sent again.
    """

    url: str
    timeout: float
    retries: int

    def wait_after(self, attempt: int, outcome: httpx2.Response | Exception) -> float | None:
        """Return the seconds to wait before a request is sent again; None if it has succeeded.

        Args:
            attempt: The number of times that it was sent before this one.
            outcome: The response, or httpx's exception.

        Raises:
            OmniVecError: It has failed for good.
        """
        if isinstance(outcome, httpx2.Response):
            if outcome.is_success:
                return None
            wait = stated_wait(outcome.headers, attempt)
            again = outcome.status_code in RETRIED_STATUS and wait <= LONGEST_WAIT_SECONDS
            if again and attempt < self.retries:
                return wait
            raise error_of(outcome.status_code, outcome.headers, outcome.content)
        if isinstance(outcome, httpx2.TimeoutException):
            raise errors.DeadlineExceededError(
                f"{self.url}: no answer within {self.timeout:g} s"
            ) from outcome
        is_lost = isinstance(outcome, httpx2.NetworkError | httpx2.RemoteProtocolError)
        if is_lost and attempt < min(self.retries, _MOST_RECONNECTIONS):
            return stated_wait({}, attempt)
        reason = str(outcome) or type(outcome).__name__
        raise errors.ModelNotReadyError(
            f"{self.url} does not answer ({reason}); does it run?"
        ) from outcome


def stated_wait(headers: Mapping[str, str], attempt: int) -> float:
    """Return the seconds that a response tells to wait; without any, ever longer ones.

    They are spread, so that clients which were refused together do not come back together.
    """
    try:
        return float(headers.get("Retry-After", "")) * random.uniform(1.0, 1.2)
    except ValueError:
        return _FIRST_WAIT_SECONDS * 2.0**attempt * random.uniform(0.8, 1.2)


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> OmniVecError:
    """Return the exception that a response stands for: the one that the service raised.

    Args:
        status: The status of the response.
        headers: The headers of the response.
        body: The body of the response: a problem document, or what a proxy has written.
    """
    problem = _problem(body)
    detail = str(problem.get("detail") or f"the service answered with HTTP status {status}")
    error = _make_error(_kind_of(status, problem), detail, problem, headers)
    if request_id := headers.get(REQUEST_ID_HEADER):
        error.add_note(f"{REQUEST_ID_HEADER}: {request_id}")
    return error


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _kind_of(status: int, problem: Mapping[str, Any]) -> type[OmniVecError]:
    """Return the class whose name the problem's kind is made of, or that of its status."""
    words = str(problem.get("type", "")).removeprefix(_PROBLEM_KINDS).split("-")
    kind = getattr(errors, "".join(word.title() for word in words) + "Error", None)
    if isinstance(kind, type) and issubclass(kind, OmniVecError):
        return kind
    default = errors.InputError if 400 <= status < 500 else OmniVecError
    return _ERRORS_BY_STATUS.get(status, default)


def _make_error(
    kind: type[OmniVecError], detail: str, problem: Mapping[str, Any], headers: Mapping[str, str]
) -> OmniVecError:
    if issubclass(kind, errors.NotedInputError):
        return kind(detail, problem.get("notes") or (), field=problem.get("field"))
    if issubclass(kind, errors.InputError):
        return kind(detail, field=problem.get("field"), known=problem.get("known") or ())
    if issubclass(kind, errors.OverloadedError):
        try:
            return kind(detail, retry_after_seconds=float(headers.get("Retry-After", "")))
        except ValueError:
            return kind(detail)
    return kind(detail)
