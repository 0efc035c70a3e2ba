"""Canaries: a new version of a head beside the one that is served, promoted or rolled back later.

::

    head add --share 5    image_defects   image_defects__candidate   .canary_image_defects.json
    head promote          image_defects 2                            promoted
    head rollback         image_defects 1                            rolled_back, and why

The candidate is a model like any other, so every runtime loads and tests it as it does heads.
"""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from export.exported_checkpoint import read_exported_checkpoint
from export.repository.assembly import locked, read_record, write_record
from omnivec2.atomic_files import staging_directory
from omnivec2.canary.canary_state import (
    Canary,
    CanaryPlan,
    CanaryStatus,
    base_spec,
    candidate_name,
    end_canary,
    is_candidate,
    read_canaries,
    write_canary,
)
from omnivec2.errors import ArtifactError, ExportError, UnknownModelError
from omnivec2.parts import TRUNK
from omnivec2.spec import HeadSpec, TensorSpec, model_name
from rollout.change_heads import head_of, remove_models
from rollout.deployed_heads import DeployedModel, read_deployed
from rollout.new_version import Place, install_versions, plan_new_versions, with_added
from rollout.renamed_models import as_candidate, as_served
from rollout.triton_control import TritonControl

OnStep = Callable[[str], None]


def add_candidate(
    checkpoint: Path,
    route: str,
    repository: Path,
    plan: CanaryPlan,
    servers: Sequence[TritonControl] = (),
    on_step: OnStep = lambda _: None,
) -> Canary:
    """Add a head of a checkpoint beside the served one of its name, for a share of callers.

    Args:
        checkpoint: The directory of a checkpoint, exported in the layout of the repository.
        route: The head, as ``<modality>/<task>``.
        repository: The repository, which may be served meanwhile.
        plan: The way it gets requests, and the limits that end it.
        servers: The Triton servers of this repository, in explicit mode.
        on_step: A callback for a line about every step.

    Raises:
        UnknownModelError: The checkpoint, or the repository, has no such head.
        ArtifactError: The head cannot stand beside the served one; nothing has changed.
    """
    source = read_exported_checkpoint(checkpoint)
    head = head_of(source, route)
    for server in servers:
        server.check()
    read_deployed(repository)  # raises where there is no repository to lock
    with locked(repository), staging_directory(repository) as staging:
        deployed = read_deployed(repository)
        served = _served_head(route, deployed.get(head.name), repository)
        last = read_canaries(repository).get(route)
        if candidate_name(head.name) in deployed or (last is not None and last.is_running):
            raise ExportError(
                f"{route} has a canary already: `omnivec2 head promote {route}` or "
                f"`omnivec2 head rollback {route}` ends it"
            )
        _require_compatible(served, head, plan)
        record = read_record(repository)
        least = 1 if last is None else last.version + 1
        planned = plan_new_versions(source, head, record, deployed, least)
        if any(entry.model.name == TRUNK for entry in planned):
            raise ExportError(
                f"{route} was exported with another trunk; a canary shares the deployed one"
            )
        new = as_candidate(planned, staging)
        place = Place(repository, staging, deployed, servers)
        install_versions(new, head, source.checkpoint.model_directory(head), place, on_step)
        write_record(repository, with_added(record, [entry.model.name for entry in new]))
        canary = Canary(
            route=route,
            version=new[-1].version,
            **dict(plan),
            started=datetime.datetime.now(datetime.UTC),
        )
        # Last: gateways send it requests from now on.
        write_canary(repository, canary)
    return canary


def promote(
    route: str,
    repository: Path,
    servers: Sequence[TritonControl] = (),
    on_step: OnStep = lambda _: None,
) -> Canary:
    """Put the candidate of a head in its place.

    Raises:
        UnknownModelError: The head has no canary.
        ArtifactError: The canary does not run, or the candidate fails a test; what was served
            before stays in service.
    """
    name = model_name(route)
    for server in servers:
        server.check()
    read_deployed(repository)
    with locked(repository), staging_directory(repository) as staging:
        canary = _known_canary(route, repository)
        if not canary.is_running:
            raise ExportError(_not_running(canary))
        deployed = read_deployed(repository)
        candidate = deployed.get(candidate_name(name))
        if candidate is None or candidate.head is None:
            raise ArtifactError(f"{repository}: {candidate_name(name)} is missing or unreadable")
        own = [deployed[part] for part in candidate.needs if is_candidate(part)]
        new = as_served([*own, candidate], repository, staging)
        place = Place(repository, staging, deployed, servers)
        nowhere = staging / "no-head-in-one-piece"
        install_versions(new, base_spec(candidate.head), nowhere, place, on_step)
        write_record(
            repository, with_added(read_record(repository), [entry.model.name for entry in new])
        )
        ended = _end(canary, repository, CanaryStatus.PROMOTED, "")
        remove_models(candidate.name, deployed, repository, servers)
    return ended


def roll_back(
    route: str, repository: Path, reason: str, servers: Sequence[TritonControl] = ()
) -> Canary:
    """End the canary of a head if it still runs, and remove the candidate.

    Args:
        route: The head, as ``<modality>/<task>``.
        repository: The repository.
        reason: The reason; a canary that a gateway has ended keeps its own.
        servers: The Triton servers of this repository.

    Raises:
        UnknownModelError: The head has no canary.
        ArtifactError: The candidate has been promoted, or a server does not answer.
    """
    for server in servers:
        server.check()
    read_deployed(repository)
    with locked(repository):
        canary = _known_canary(route, repository)
        deployed = read_deployed(repository)
        name = candidate_name(model_name(route))
        if not canary.is_running and name not in deployed:
            raise ExportError(_not_running(canary))
        # First: gateways send it no requests any more when it goes.
        ended = _end(canary, repository, CanaryStatus.ROLLED_BACK, reason)
        if name in deployed:
            remove_models(name, deployed, repository, servers)
    return ended


def read_status(route: str, repository: Path) -> tuple[Canary, str]:
    """Return the canary of a head, and the version that is served.

    Raises:
        UnknownModelError: The head has no canary.
        ArtifactError: There is no repository.
    """
    deployed = read_deployed(repository)
    canary = _known_canary(route, repository)
    served = deployed.get(model_name(route))
    return canary, str(served.version) if served else ""


def _served_head(route: str, model: DeployedModel | None, repository: Path) -> HeadSpec:
    if model is None or model.head is None:
        raise UnknownModelError(
            f"{repository} has no head {route} to compare a canary with; "
            f"`omnivec2 head add {route}` without --share and --shadow adds a new one"
        )
    return model.head


def _known_canary(route: str, repository: Path) -> Canary:
    canaries = read_canaries(repository)
    if route not in canaries:
        others = ", ".join(sorted(canaries)) or "no head"
        raise UnknownModelError(f"{route} has no canary in {repository}; {others} has one")
    return canaries[route]


def _not_running(canary: Canary) -> str:
    ended = f" at {canary.ended:%Y-%m-%d %H:%M:%S} UTC" if canary.ended else ""
    why = f": {canary.reason}" if canary.reason else ""
    status = canary.status.value.replace("_", " ")
    return f"version {canary.version} of {canary.route} was {status}{ended}{why}"


def _end(canary: Canary, repository: Path, status: CanaryStatus, reason: str) -> Canary:
    by = f"omnivec2 head on {socket.gethostname()} ({os.getpid()})"
    ended = end_canary(repository, canary.route, canary.version, status, reason, by)
    return ended or canary.end(status, reason, by)


def _require_compatible(served: HeadSpec, new: HeadSpec, plan: CanaryPlan) -> None:
    """Check that callers can be answered by either of two versions of a head.

    Raises:
        ExportError: They answer differently, or their answers must not be mixed.
    """
    fields = {
        "family": (served.family.value, new.family.value),
        "labels": (sorted(served.labels), sorted(new.labels)),
        "targets": (served.targets, new.targets),
        "quantiles": (served.quantiles, new.quantiles),
        "horizon": (served.horizon, new.horizon),
        "any number of labels": (served.is_multi_label, new.is_multi_label),
        "inputs": (_shapes(served.inputs), _shapes(new.inputs)),
        "outputs": (_shapes(served.outputs), _shapes(new.outputs)),
    }
    different = [name for name, (old, other) in fields.items() if old != other]
    if different:
        raise ExportError(
            f"{new.route}: the new version differs in its {', '.join(different)}, so callers "
            "cannot be answered by either; `omnivec2 head add` without --share and --shadow "
            "replaces the head"
        )
    if new.is_embedding and plan.share:
        raise ExportError(
            f"{new.route}: vectors of two versions cannot be compared with each other, so callers "
            "must not get some of each; use --shadow without --share"
        )


def _shapes(tensors: Sequence[TensorSpec]) -> list[tuple[str, str, tuple[int, ...]]]:
    return sorted((tensor.name, tensor.dtype, tensor.shape) for tensor in tensors)
