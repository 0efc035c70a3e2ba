"""Failures of a Triton server, classified by gRPC's status and Triton's message."""

from __future__ import annotations

import logging
from enum import Enum

import grpc
from tritonclient.utils import InferenceServerException

from omnivec2.errors import (
    DeadlineExceededError,
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    RefusedTensorsError,
    StaleModelError,
)

_LOG = logging.getLogger(__name__)


class FailureCause(Enum):
    """The reason why a server did not answer."""

    FULL = "its queue is full"
    LATE = "the time has passed"
    ABSENT = "it does not have the model, or not that version"
    UNREACHABLE = "it cannot be reached, or takes no more requests"
    DOWN = "the connection broke"
    REFUSED = "the model cannot take these values"
    FAILED = "it could not run the model"


NEVER_BEGUN = frozenset({FailureCause.ABSENT, FailureCause.UNREACHABLE})
"""The reasons after which it is certain that the server has not worked on the request."""

_RETRYABLE = NEVER_BEGUN | {FailureCause.FULL, FailureCause.DOWN}

# Triton gives one status, UNAVAILABLE, to a full queue, to a request that waited too long
# and to a model that is not there; only its message distinguishes them.
_CAUSE_BY_PHRASE = (
    ("exceeds maximum queue size", FailureCause.FULL),
    ("request timeout expired", FailureCause.LATE),
    ("unknown model", FailureCause.ABSENT),
    ("not at ready state", FailureCause.ABSENT),
    ("no available versions", FailureCause.ABSENT),
    ("is not ready", FailureCause.ABSENT),
    # Triton while it shuts down.
    ("server is stopping", FailureCause.UNREACHABLE),
    ("server is exiting", FailureCause.UNREACHABLE),
    # No connection has come about.
    ("failed to connect to all addresses", FailureCause.UNREACHABLE),
    ("connection refused", FailureCause.UNREACHABLE),
    # A connection that breaks in the middle of an answer, in gRPC's words.
    ("rst_stream", FailureCause.DOWN),
    ("stream removed", FailureCause.DOWN),
    ("connection reset", FailureCause.DOWN),
    ("socket closed", FailureCause.DOWN),
    # ONNX Runtime's codes FAIL and INVALID_ARGUMENT, as Triton's backend and ours print them.
    ("onnx runtime error 1:", FailureCause.REFUSED),
    ("onnx runtime error 2:", FailureCause.REFUSED),
    ("[onnxruntimeerror] : 1 :", FailureCause.REFUSED),
    ("[onnxruntimeerror] : 2 :", FailureCause.REFUSED),
)
_CAUSE_BY_STATUS = {
    str(grpc.StatusCode.DEADLINE_EXCEEDED): FailureCause.LATE,
    str(grpc.StatusCode.NOT_FOUND): FailureCause.ABSENT,
    str(grpc.StatusCode.RESOURCE_EXHAUSTED): FailureCause.FULL,
    str(grpc.StatusCode.UNAVAILABLE): FailureCause.DOWN,
    str(grpc.StatusCode.CANCELLED): FailureCause.DOWN,
    str(grpc.StatusCode.INVALID_ARGUMENT): FailureCause.REFUSED,
}


class TritonError(Exception):
    """One server did not answer one request.

    Attributes:
        cause: The reason.
        retryable: Whether another server may well answer. Inference changes nothing, so it
            is always safe to retry.
    """

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.retryable = cause in _RETRYABLE

    @classmethod
    def from_client_error(cls, error: InferenceServerException) -> TritonError:
        """Classify an exception of Triton's client."""
        message = error.message() or ""
        lowered = message.lower()
        known = next((cause for phrase, cause in _CAUSE_BY_PHRASE if phrase in lowered), None)
        cause = known or _CAUSE_BY_STATUS.get(error.status() or "", FailureCause.FAILED)
        return cls(cause, f"{error.status()}: {message}")


def to_caller_error(name: str, error: TritonError) -> OmniVecError:
    """Translate a failure for the caller of the gateway, without addresses of servers.

    Args:
        name: The name of the model or part.
        error: The failure.
    """
    if error.cause is FailureCause.FULL:
        return OverloadedError(f"too many requests wait for {name}", reason="triton")
    if error.cause is FailureCause.LATE:
        return DeadlineExceededError(f"{name} did not answer within the time allowed")
    if error.cause is FailureCause.ABSENT:
        return StaleModelError(f"{name} is not loaded any more, or not in this version")
    if error.cause in (FailureCause.DOWN, FailureCause.UNREACHABLE):
        return ModelNotReadyError(f"no Triton server that has {name} can be reached")
    if error.cause is FailureCause.REFUSED:
        _LOG.warning("%s refused its inputs in Triton: %s", name, error)
        return RefusedTensorsError(f"{name} cannot take these values")
    _LOG.error("%s failed in Triton: %s", name, error)
    return ModelNotReadyError(f"Triton failed to run {name}")
