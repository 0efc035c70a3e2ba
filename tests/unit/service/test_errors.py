from __future__ import annotations

import inspect
import json

import grpc
import pytest
from starlette.requests import Request

from omnivec2 import errors
from service.errors import grpc_code_of, problem_of, status_of

ALL = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.OmniVecError)
]
REQUEST = Request(
    {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b""}
)


def body_of(error: errors.OmniVecError) -> dict[str, object]:
    return json.loads(bytes(problem_of(REQUEST, error).body))


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_status(kind: type[errors.OmniVecError]) -> None:
    assert status_of(kind) in {401, 403, 404, 410, 413, 415, 422, 429, 500, 501, 503, 504}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_grpc_code_of_the_same_meaning(kind: type[errors.OmniVecError]) -> None:
    meanings = {
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        410: "FAILED_PRECONDITION",
        413: "INVALID_ARGUMENT",
        415: "INVALID_ARGUMENT",
        422: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }
    assert grpc_code_of(kind) == meanings[status_of(kind)]
    assert grpc_code_of(kind) in vars(grpc.StatusCode)


@pytest.mark.parametrize("kind", [k for k in ALL if issubclass(k, errors.InputError)])
def test_an_input_error_is_never_the_fault_of_the_service(kind: type[errors.InputError]) -> None:
    assert 400 <= status_of(kind) < 500


def test_a_problem_document_has_the_fields_of_the_standard_and_error() -> None:
    error = errors.UnknownModelError("no such task", field="task", known=["a", "b"])
    assert body_of(error) == {
        "type": "urn:omnivec2:problem:unknown-model",
        "title": "Unknown model",
        "status": 404,
        "detail": "no such task",
        "instance": "/x",
        "error": "no such task",
        "field": "task",
        "known": ["a", "b"],
    }


def test_a_problem_document_is_of_the_registered_type() -> None:
    response = problem_of(REQUEST, errors.TooLargeError("too large"))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == 413


def test_an_overloaded_service_sends_retry_after() -> None:
    response = problem_of(REQUEST, errors.OverloadedError("full", retry_after_seconds=1.2))
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")


def test_a_service_without_the_model_sends_retry_after() -> None:
    response = problem_of(REQUEST, errors.ModelNotReadyError("Triton cannot be reached"))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_failures_of_the_services_own_files_are_not_shown_to_callers() -> None:
    assert "/secret" not in str(body_of(errors.CheckpointError("/secret/path is missing")))
