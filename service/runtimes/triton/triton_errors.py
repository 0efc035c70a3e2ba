"""What went wrong at a Triton server, told from gRPC's status and Triton's words."""

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


class Cause(Enum):
    """Why a server did not answer."""

    FULL = "its queue is full"
    LATE = "the time has passed"
    ABSENT = "it does not have the model, or not that version"
    DOWN = "it cannot be reached"
    REFUSED = "the model cannot take these values"
    FAILED = "it could not run the model"


_ELSEWHERE = frozenset({Cause.FULL, Cause.ABSENT, Cause.DOWN})

# Triton gives one status, UNAVAILABLE, to a full queue, to a request that waited too long
# and to a model that is not there; only its words tell them apart.
_WORDS = (
    ("exceeds maximum queue size", Cause.FULL),
    ("request timeout expired", Cause.LATE),
    ("unknown model", Cause.ABSENT),
    ("not at ready state", Cause.ABSENT),
    ("no available versions", Cause.ABSENT),
    ("is not ready", Cause.ABSENT),
    # A connection that breaks in the middle of an answer, as gRPC tells it.
    ("rst_stream", Cause.DOWN),
    ("stream removed", Cause.DOWN),
    ("connection reset", Cause.DOWN),
    ("socket closed", Cause.DOWN),
    # ONNX Runtime's codes FAIL and INVALID_ARGUMENT, as Triton's backend and ours print them.
    ("onnx runtime error 1:", Cause.REFUSED),
    ("onnx runtime error 2:", Cause.REFUSED),
    ("[onnxruntimeerror] : 1 :", Cause.REFUSED),
    ("[onnxruntimeerror] : 2 :", Cause.REFUSED),
)
_STATUS = {
    str(grpc.StatusCode.DEADLINE_EXCEEDED): Cause.LATE,
    str(grpc.StatusCode.NOT_FOUND): Cause.ABSENT,
    str(grpc.StatusCode.RESOURCE_EXHAUSTED): Cause.FULL,
    str(grpc.StatusCode.UNAVAILABLE): Cause.DOWN,
    str(grpc.StatusCode.CANCELLED): Cause.DOWN,
    str(grpc.StatusCode.INVALID_ARGUMENT): Cause.REFUSED,
}


class TritonError(Exception):
    """One server did not answer one request.

    Attributes:
        cause: why.
        elsewhere: whether another server may well answer. Inference changes nothing, so it
            is always safe to ask again.
    """

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.elsewhere = cause in _ELSEWHERE

    @classmethod
    def of(cls, error: InferenceServerException) -> TritonError:
        """The failure that an exception of Triton's client stands for."""
        message = error.message() or ""
        words = message.lower()
        said = next((cause for part, cause in _WORDS if part in words), None)
        cause = said or _STATUS.get(error.status() or "", Cause.FAILED)
        return cls(cause, f"{error.status()}: {message}")


def for_caller(name: str, error: TritonError) -> OmniVecError:
    """What a failure is to the caller of the gateway; no address of a server is in it."""
    if error.cause is Cause.FULL:
        return OverloadedError(f"too many requests wait for {name}", reason="triton")
    if error.cause is Cause.LATE:
        return DeadlineExceededError(f"{name} did not answer within the time allowed")
    if error.cause is Cause.ABSENT:
        return StaleModelError(f"{name} is not loaded any more, or not in this version")
    if error.cause is Cause.DOWN:
        return ModelNotReadyError(f"no Triton server that has {name} can be reached")
    if error.cause is Cause.REFUSED:
        _LOG.warning("%s refused its inputs in Triton: %s", name, error)
        return RefusedTensorsError(f"{name} cannot take these values")
    _LOG.error("%s failed in Triton: %s", name, error)
    return ModelNotReadyError(f"Triton failed to run {name}")
