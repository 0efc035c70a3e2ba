"""Adding a head to a model repository that is being served, and removing one.

::

    1  written beside       files are checked against their passports
    2  checked here         parts one after the other, against the head in one piece
    3  loaded by Triton     as a new version without traffic yet, and compared with 2
    4  switched             the head's own model gets its new version

Whatever fails before the end is rolled back, and what was served before stays in service.
A gateway with the embedded runtime watches the repository and checks the head itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.repository.assembly import locked, read_record, write_record
from omnivec2.atomic_files import staging_directory
from omnivec2.canary.canary_state import candidate_name, is_candidate, read_canaries
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.spec import HeadSpec, model_name
from rollout.deployed_heads import DeployedModel, read_deployed, users_of
from rollout.new_version import Place, install_versions, plan_new_versions, with_added
from rollout.triton_control import TritonControl


@dataclass(frozen=True)
class AddedHead:
    """A head that was added.

    Attributes:
        route: The head, as ``<modality>/<task>``.
        version: The version of its model.
        written: A map from the models and parts that are new to their versions.
    """

    route: str
    version: int
    written: Mapping[str, int]


def add_head(
    checkpoint: Path,
    route: str,
    repository: Path,
    servers: Sequence[TritonControl] = (),
    on_step: Callable[[str], None] = lambda _: None,
) -> AddedHead:
    """Add a head of a checkpoint to a repository, or replace the head of its name.

    In the shared layout only parts that the repository does not have are written; the trunk
    must be the one of the repository.

    Args:
        checkpoint: The directory of a checkpoint, exported in the layout of the repository.
        route: The head, as ``<modality>/<task>``.
        repository: The repository, which may be served meanwhile.
        servers: The Triton servers of this repository, in explicit mode.
        on_step: A callback for a line about every step.

    Raises:
        UnknownModelError: The checkpoint has no such head.
        ArtifactError: The head cannot be added; the repository is as it was.
    """
    source = read_exported_checkpoint(checkpoint)
    head = head_of(source, route)
    for server in servers:
        server.check()
    read_deployed(repository)  # raises where there is no repository to lock
    with locked(repository), staging_directory(repository) as staging:
        record = read_record(repository)
        deployed = read_deployed(repository)
        _refuse_with_canary(route, repository, deployed)
        new = plan_new_versions(source, head, record, deployed)
        place = Place(repository, staging, deployed, servers)
        install_versions(new, head, source.checkpoint.model_directory(head), place, on_step)
        write_record(repository, with_added(record, [entry.model.name for entry in new]))
    return AddedHead(route, new[-1].version, {n.model.name: n.version for n in new})


def remove_head(route: str, repository: Path, servers: Sequence[TritonControl] = ()) -> list[str]:
    """Remove a head from a repository, with the parts that no other head uses.

    Returns:
        The models and parts that were removed.

    Raises:
        UnknownModelError: The repository has no such head.
        ArtifactError: A Triton server does not answer; then nothing is removed.
    """
    name = model_name(route)
    for server in servers:
        server.check()
    read_deployed(repository)
    with locked(repository):
        deployed = read_deployed(repository)
        if name not in deployed or deployed[name].head is None:
            raise UnknownModelError(
                f"{repository} has no head {route}; it has {', '.join(_routes(deployed))}"
            )
        _refuse_with_canary(route, repository, deployed)
        return remove_models(name, deployed, repository, servers)


def remove_models(
    name: str,
    deployed: Mapping[str, DeployedModel],
    repository: Path,
    servers: Sequence[TritonControl],
) -> list[str]:
    """Remove a head's model from a locked repository, with the parts that no other head uses.

    Args:
        name: The name of the model.
        deployed: The models of the repository.
        repository: The repository.
        servers: The Triton servers of this repository.

    Returns:
        The models and parts that were removed.
    """
    own = [part for part in deployed[name].needs if users_of(part, deployed) == {name}]
    unneeded = [name, *own]
    record = read_record(repository)
    write_record(
        repository,
        record.model_copy(
            update={
                "added": tuple(n for n in record.added if n not in unneeded),
                "removed": tuple(sorted({*record.removed, *(set(unneeded) & set(record.models))})),
            }
        ),
    )
    for model in unneeded:
        for server in servers:
            server.unload(model)
        shutil.rmtree(repository / model)
    return unneeded


def head_of(source: ExportedCheckpoint, route: str) -> HeadSpec:
    """Return a head of a checkpoint.

    Raises:
        UnknownModelError: The checkpoint has no such head.
    """
    for head in source.heads:
        if head.route == route:
            return head
    raise UnknownModelError(
        f"{source.checkpoint.directory} has no head {route}; it has "
        + ", ".join(head.route for head in source.heads)
    )


def _refuse_with_canary(
    route: str, repository: Path, deployed: Mapping[str, DeployedModel]
) -> None:
    """Refuse to change a head that has a candidate, which was compared with it as it is."""
    canary = read_canaries(repository).get(route)
    if candidate_name(model_name(route)) in deployed or (canary and canary.is_running):
        raise ExportError(
            f"{route} has a canary in {repository}: end it first, with `omnivec2 head promote "
            f"{route}` or `omnivec2 head rollback {route}`"
        )


def _routes(deployed: Mapping[str, DeployedModel]) -> list[str]:
    return sorted(
        model.head.route
        for model in deployed.values()
        if model.head and not is_candidate(model.name)
    )
