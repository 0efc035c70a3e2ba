"""The state of canaries: two versions of a head in one model repository, and what became of them.

::

    <repository>/image_defects/                     the version that is served
                 image_defects__candidate/          the new one, a model like any other
                 .canary_image_defects.json         share, limits, running or how it ended

``omnivec2 head`` and every gateway read and replace the file; whoever ends a canary first writes
why. Names that begin with a dot are no models for anybody.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.atomic_files import write_file
from omnivec2.errors import ArtifactError
from omnivec2.spec import HeadSpec, model_name

CANDIDATE_SUFFIX = "__candidate"
"""The end of the names of a candidate's model and parts, and of its task."""
_FILE = ".canary_{}.json"
_LOCK_FILE = ".canary.lock"
_LOCK_SECONDS = 5.0


class CanaryStatus(StrEnum):
    """What a canary is: running, or how it ended."""

    RUNNING = "running"
    ROLLED_BACK = "rolled_back"
    PROMOTED = "promoted"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CanaryLimits(_Frozen):
    """What ends a canary by itself."""

    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of the candidate's requests that only the served version can answer."""

    max_latency_ratio: Annotated[float, Field(gt=0)] = 3.0
    """Largest ratio of the candidate's median time to that of the served version."""

    max_disagreement: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Largest share of compared answers that differ."""

    tolerance: Annotated[float, Field(ge=0)] = 0.1
    """Distance above which answers that have no labels differ; see ``service.canary``."""


class CanaryPlan(_Frozen):
    """How a candidate gets requests, and what ends it."""

    share: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Percentage of callers that are answered by the candidate."""

    shadow: bool = False
    """Whether the candidate also runs for other requests, and its answers are compared."""

    limits: CanaryLimits = CanaryLimits()
    """What ends it by itself."""


class Canary(CanaryPlan):
    """A new version of a head beside the one that is served."""

    route: Annotated[str, Field(pattern=r"^[a-z]+/[a-z][a-z0-9_]*$")]
    """Head, as ``<modality>/<task>``."""

    version: Annotated[int, Field(ge=1)]
    """Version of the candidate: the one that the head gets when it is promoted."""

    status: CanaryStatus = CanaryStatus.RUNNING
    """Whether it runs, or how it ended."""

    reason: str = ""
    """Why it was rolled back."""

    by: str = ""
    """Who ended it: the command line, or a gateway by its host and process."""

    started: datetime.datetime
    ended: datetime.datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether the candidate gets requests."""
        return self.status is CanaryStatus.RUNNING

    def end(self, status: CanaryStatus, reason: str, by: str) -> Canary:
        """Return this canary as it is once it has ended."""
        now = datetime.datetime.now(datetime.UTC)
        changes = {"status": status, "reason": reason, "by": by, "ended": now}
        return self.model_copy(update=changes)


def candidate_name(name: str) -> str:
    """Return the name of the candidate of a head's model, of a part or of a task."""
    return f"{name}{CANDIDATE_SUFFIX}"


def is_candidate(name: str) -> bool:
    """Whether a model is a candidate, which has no route of its own."""
    return name.endswith(CANDIDATE_SUFFIX)


def base_name(name: str) -> str:
    """Return the name of the head that a model is the candidate of, or the name as it is."""
    return name.removesuffix(CANDIDATE_SUFFIX)


def base_spec(spec: HeadSpec) -> HeadSpec:
    """Return the head spec of a candidate under the task that it answers for."""
    return spec.model_copy(update={"task": base_name(spec.task)})


def read_canaries(repository: Path) -> dict[str, Canary]:
    """Read the canaries of a repository, by the routes of their heads.

    A file that cannot be read counts as none: nobody may be answered by a version whose limits
    are not known.
    """
    found = {}
    for path in sorted(repository.glob(_FILE.format("*"))):
        try:
            canary = Canary.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        found[canary.route] = canary
    return found


def write_canary(repository: Path, canary: Canary) -> None:
    """Replace the state of a head's canary.

    Raises:
        OSError: The repository cannot be written.
        ArtifactError: Another process holds the lock for seconds.
    """
    with _locked(repository):
        _write(repository, canary)


def end_canary(
    repository: Path, route: str, version: int, status: CanaryStatus, reason: str, by: str
) -> Canary | None:
    """Record the end of a canary, unless it has ended already.

    Args:
        repository: The model repository.
        route: The head, as ``<modality>/<task>``.
        version: The version of the candidate; another that runs by now is left alone.
        status: The way it ended.
        reason: The reason for it.
        by: The name of what ended it.

    Returns:
        The canary as it is recorded now, whoever ended it; None if there is none.

    Raises:
        OSError: The repository cannot be written.
        ArtifactError: Another process holds the lock for seconds.
    """
    with _locked(repository):
        known = read_canaries(repository).get(route)
        if known is None or not known.is_running or known.version != version:
            return known
        ended = known.end(status, reason, by)
        _write(repository, ended)
        return ended


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    # Imported here: a gateway needs it only when a canary ends.
    from filelock import FileLock, Timeout

    try:
        with FileLock(repository / _LOCK_FILE, timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ArtifactError(f"{repository}: another process is changing its canaries") from error


def _write(repository: Path, canary: Canary) -> None:
    path = repository / _FILE.format(model_name(canary.route))
    write_file(path, (canary.model_dump_json(indent=1) + "\n").encode())
