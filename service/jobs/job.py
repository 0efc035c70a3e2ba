"""A job: one request to ``/predict`` that is answered later, and how far it has come."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

WEBHOOK_HEADER = "X-Webhook"
"""The header of a request that names the address to be told when its job is over."""

_ID_BYTES = 18
"""The random bytes of an id: 144 bits, which cannot be guessed where no key protects a job."""


class JobState(StrEnum):
    """What has become of a job; it leaves the last three never again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobRequest:
    """The request of a job, without its body.

    Attributes:
        modality: The modality of its heads.
        tasks: The tasks of its heads; several for ``/predict/<modality>?tasks=``.
        is_several: Whether the answer is one per task, even of a single one.
        content_type: The header ``Content-Type``; empty without one.
        is_strict: Whether notes on an input refuse it.
        request_id: The id of the request that made the job.
        webhook: The address that is told when the job is over; empty for none.
    """

    modality: str
    tasks: tuple[str, ...]
    is_several: bool = False
    content_type: str = ""
    is_strict: bool = False
    request_id: str = ""
    webhook: str = ""

    def to_json(self) -> str:
        """Return the request as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> JobRequest:
        """Return the request that JSON text describes."""
        fields = json.loads(text)
        return cls(**{**fields, "tasks": tuple(fields["tasks"])})


@dataclass(frozen=True)
class Outcome:
    """The end of a job.

    Attributes:
        state: The final state: done, failed or cancelled.
        status: The HTTP status that a synchronous request would have had.
        body: The JSON of the answer, or of the problem document of a failure.
        models: The models that answered, with their versions.
        notes: The notes on the inputs, as JSON shows them.
    """

    state: JobState
    status: int = 200
    body: bytes = b"null"
    models: tuple[tuple[str, str], ...] = ()
    notes: tuple[Mapping[str, Any], ...] = ()

    def head_json(self) -> str:
        """Return all but the body as JSON text."""
        fields = {"status": self.status, "models": self.models, "notes": self.notes}
        return json.dumps(fields)

    @classmethod
    def from_parts(cls, state: JobState, head: str | bytes, body: bytes) -> Outcome:
        """Return the outcome that ``head_json`` and the body describe."""
        fields = json.loads(head)
        models = tuple((name, version) for name, version in fields["models"])
        return cls(state, fields["status"], body, models, tuple(fields["notes"]))


@dataclass(frozen=True)
class Progress:
    """How many pieces of an input are computed.

    Attributes:
        done: The pieces that are computed.
        total: All pieces; None while that is not known.
    """

    done: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Job:
    """A job as a store knows it; times are seconds since 1970.

    Attributes:
        id: The id, which cannot be guessed.
        owner: The name of the API key that made it; empty where none is required.
        request: The request.
        nbytes: The bytes of its body.
        created: The time at which it was accepted.
        expires: The time at which it is forgotten.
        state: The state.
        attempts: The number of times that a gateway has begun to work on it.
        started: The time at which the first did; None if none has.
        finished: The time of its end; None before.
        progress: The progress of the last attempt.
        outcome: The outcome; None before its end.
    """

    id: str
    owner: str
    request: JobRequest
    nbytes: int
    created: float
    expires: float
    state: JobState = JobState.QUEUED
    attempts: int = 0
    started: float | None = None
    finished: float | None = None
    progress: Progress = field(default_factory=Progress)
    outcome: Outcome | None = None


def new_id() -> str:
    """Return the id of a new job."""
    return secrets.token_urlsafe(_ID_BYTES)
