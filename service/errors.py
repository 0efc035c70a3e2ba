"""The one place where failures become HTTP (RFC 9457 problem documents) and gRPC codes.

Every body has ``type``, ``title``, ``status``, ``detail`` and ``instance``, and also
``error``, which Hugging Face clients print. ``field`` names the part of the request
that is wrong, ``known`` lists what would have been accepted, ``notes`` the remarks on an input
that a strict request does not allow.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from omnivec2 import errors
from service.openai_errors import has_openai_form, openai_error, openai_status
from service.request_context import ClientDisconnectedError

PROBLEM_JSON = "application/problem+json"

_LOG = logging.getLogger(__name__)

_STATUS: Mapping[type[errors.OmniVecError], HTTPStatus] = {
    errors.OmniVecError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownModelError: HTTPStatus.NOT_FOUND,
    errors.UnknownRequestError: HTTPStatus.NOT_FOUND,
    errors.FeedbackGivenError: HTTPStatus.GONE,
    errors.UnknownJobError: HTTPStatus.NOT_FOUND,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.AccessError: HTTPStatus.FORBIDDEN,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.ModelNotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.SwitchedOffError: HTTPStatus.NOT_IMPLEMENTED,
}

# The same for gRPC, by the names of its codes: only the gRPC server imports grpc itself.
_GRPC_CODE: Mapping[type[errors.OmniVecError], str] = {
    errors.OmniVecError: "INTERNAL",
    errors.InputError: "INVALID_ARGUMENT",
    errors.UnknownModelError: "NOT_FOUND",
    errors.UnknownRequestError: "NOT_FOUND",
    errors.UnknownJobError: "NOT_FOUND",
    errors.FeedbackGivenError: "FAILED_PRECONDITION",
    errors.AccessError: "PERMISSION_DENIED",
    errors.UnauthenticatedError: "UNAUTHENTICATED",
    errors.OverloadedError: "RESOURCE_EXHAUSTED",
    errors.ModelNotReadyError: "UNAVAILABLE",
    errors.DeadlineExceededError: "DEADLINE_EXCEEDED",
    errors.SwitchedOffError: "UNIMPLEMENTED",
}

CLIENT_CLOSED_REQUEST = 499
"""nginx's status of a request whose client closed the connection; only metrics and logs show it."""

_CHALLENGE = 'Bearer realm="omnivec2"'

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

OUR_FAULT = "the service failed; the request was not at fault"


def status_of_failure(error: BaseException) -> int:
    """Return the HTTP status that a failed request counts as, whatever transport it came by."""
    if isinstance(error, ClientDisconnectedError | asyncio.CancelledError):
        return CLIENT_CLOSED_REQUEST
    if isinstance(error, errors.OmniVecError):
        return status_of(type(error))
    return HTTPStatus.INTERNAL_SERVER_ERROR


def status_of(kind: type[errors.OmniVecError]) -> HTTPStatus:
    """Return the HTTP status of an error class: its own, or that of its nearest listed ancestor."""
    return next(_STATUS[base] for base in kind.__mro__ if base in _STATUS)


def grpc_code_of(kind: type[errors.OmniVecError]) -> str:
    """Return the name of the gRPC status code of an error class, found as in ``status_of``."""
    return next(_GRPC_CODE[base] for base in kind.__mro__ if base in _GRPC_CODE)


def problem(
    request: Request,
    status: int,
    title: str,
    detail: str,
    *,
    kind: str = "about:blank",
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, JsonValue] | None = None,
) -> Response:
    """Return a problem document as a response.

    Args:
        request: The request that failed.
        status: The HTTP status.
        title: The kind of problem in a few words.
        detail: The reason, in words for the caller.
        kind: The URI of the kind of problem.
        headers: The headers of the response.
        extra: The members of the document beside the standard ones.

    Routes for OpenAI's clients answer in their form instead.
    """
    if has_openai_form(request.url.path):
        status = openai_status(status)
        body = to_json(openai_error(status, detail, extra or {}))
        return Response(body, status, dict(headers or {}), "application/json")
    document = _document(status, title, detail, kind, request.url.path, extra or {})
    return Response(to_json(document), status, dict(headers or {}), PROBLEM_JSON)


def _document(
    status: int,
    title: str,
    detail: str,
    kind: str,
    instance: str,
    extra: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    return {
        "type": kind,
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": instance,
        "error": detail,
        **extra,
    }


def problem_document(error: errors.OmniVecError, instance: str) -> dict[str, JsonValue]:
    """Return the problem document of one of this project's errors, without a response.

    Args:
        error: The error.
        instance: The path of what failed.
    """
    status = status_of(type(error))
    is_ours = status is HTTPStatus.INTERNAL_SERVER_ERROR
    words = _words(type(error).__name__)
    detail = OUR_FAULT if is_ours else str(error)
    return _document(
        status, words.capitalize(), detail, _kind_of(words), instance, _members_of(error)
    )


def problem_of(request: Request, error: errors.OmniVecError) -> Response:
    """Return the problem document of one of this project's errors, and count a rejection."""
    status = status_of(type(error))
    words = _words(type(error).__name__)
    headers: dict[str, str] = {}
    if error.reason and "app" in request.scope:
        request.app.state.gateway.metrics.observe_rejection(error.reason)
    if isinstance(error, errors.UnauthenticatedError):
        # https://www.rfc-editor.org/rfc/rfc6750#section-3
        headers["WWW-Authenticate"] = _CHALLENGE + (', error="invalid_token"' * error.invalid)
    if isinstance(error, errors.OverloadedError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    elif isinstance(error, errors.ModelNotReadyError):
        headers["Retry-After"] = "1"
    detail = str(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("%s: %s", type(error).__name__, error)
        detail = OUR_FAULT
    return problem(
        request,
        status,
        words.capitalize(),
        detail,
        kind=_kind_of(words),
        headers=headers,
        extra=_members_of(error),
    )


def _members_of(error: errors.OmniVecError) -> dict[str, JsonValue]:
    """Return the members of an error's problem document beside the standard ones."""
    extra: dict[str, JsonValue] = {}
    if isinstance(error, errors.InputError):
        if error.field is not None:
            extra["field"] = error.field
        if error.known:
            extra["known"] = list(error.known)
    if isinstance(error, errors.NotedInputError):
        extra["notes"] = [dict(note) for note in error.notes]
    return extra


def _kind_of(words: str) -> str:
    return f"urn:omnivec2:problem:{words.lower().replace(' ', '-')}"


@cache
def _words(kind: str) -> str:
    """Return the words of an error's name: ``UnknownModelError`` -> ``Unknown Model``."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.removesuffix("Error"))


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.OmniVecError)
    return problem_of(request, error)


async def _answer_router(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    detail = str(error.detail)
    headers = error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}; see /docs, /models"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Below a mounted directory there are files, and no routes.
        allowed = ", ".join(_methods_of(request) or ("GET", "HEAD"))
        detail = f"{request.url.path} does not take {request.method}; it takes {allowed}"
        headers = {**(headers or {}), "Allow": allowed}
    return problem(request, error.status_code, title, detail, headers=headers)


def _methods_of(request: Request) -> list[str]:
    """Return the methods that a path takes: one path may have several routes."""
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in routes)
    ]


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    invalid = errors.InvalidInputError(f"{where}: {first['msg']}", field=where)
    return problem_of(request, invalid)


async def _answer_defect(request: Request, error: Exception) -> Response:
    """Answer a defect. The server logs the traceback; the caller gets none of it."""
    request_id = request.scope.get("state", {}).get("request_id", "")
    _LOG.error("request %s failed: %r", request_id, error)
    return problem(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        OUR_FAULT,
        headers={"X-Request-ID": request_id} if request_id else None,
    )


def install(app: FastAPI) -> None:
    """Answer every failure of ``app`` with a problem document."""
    app.add_exception_handler(errors.OmniVecError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_router)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(Exception, _answer_defect)
