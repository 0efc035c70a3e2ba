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

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.repository.assembly import (
    DEFAULT_LAYOUT,
    Record,
    locked,
    read_record,
    write_model,
    write_record,
)
from export.repository.config_writer import ensemble_config, model_config
from export.repository.layouts import Layout, PlannedModel, plan
from omnivec2.atomic_files import link_tree, staging_directory
from omnivec2.errors import ExportError, OmniVecError, UnknownModelError
from omnivec2.parts import TRUNK
from omnivec2.spec import HeadSpec, model_name
from rollout.candidate_check import CandidateCheck, ServedGraph
from rollout.deployed_heads import DeployedModel, read_deployed, users_of
from rollout.directory_swap import CANDIDATE_PREFIX, Swap, rolled_back_on_failure
from rollout.triton_control import TritonControl

_VERSIONS_KEPT = 2


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


@dataclass(frozen=True)
class _NewVersion:
    """A model to be written, and its version."""

    model: PlannedModel
    version: int


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
    head = _head_of(source, route)
    for server in servers:
        server.check()
    read_deployed(repository)  # raises where there is no repository to lock
    with locked(repository), staging_directory(repository) as staging:
        record = read_record(repository)
        deployed = read_deployed(repository)
        new = _new_versions(source, head, record, deployed)
        _write(new, deployed, repository, staging)
        graphs, decoder = _served_graphs(new, repository, staging, head)
        on_step(f"written beside: {', '.join(f'{n.model.name} {n.version}' for n in new)}")
        whole = source.checkpoint.model_directory(head)
        check = CandidateCheck(head, graphs, whole, decoder)
        on_step(f"tried here: largest error {check.error:.1e}")
        with rolled_back_on_failure(repository, staging, servers) as swap:
            _switch(new, head, servers, check, swap, on_step)
        names = [entry.model.name for entry in new]
        write_record(repository, _with_added(record, names))
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
        own = [part for part in deployed[name].needs if users_of(part, deployed) == {name}]
        unneeded = [name, *own]
        record = read_record(repository)
        write_record(
            repository,
            record.model_copy(
                update={
                    "added": tuple(n for n in record.added if n not in unneeded),
                    "removed": tuple(
                        sorted({*record.removed, *(set(unneeded) & set(record.models))})
                    ),
                }
            ),
        )
        for model in unneeded:
            for server in servers:
                server.unload(model)
            shutil.rmtree(repository / model)
    return unneeded


def _head_of(source: ExportedCheckpoint, route: str) -> HeadSpec:
    for head in source.heads:
        if head.route == route:
            return head
    raise UnknownModelError(
        f"{source.checkpoint.directory} has no head {route}; it has "
        + ", ".join(head.route for head in source.heads)
    )


def _routes(deployed: Mapping[str, DeployedModel]) -> list[str]:
    return sorted(model.head.route for model in deployed.values() if model.head)


def _new_versions(
    source: ExportedCheckpoint,
    head: HeadSpec,
    record: Record,
    deployed: Mapping[str, DeployedModel],
) -> list[_NewVersion]:
    """Return what has to be written, the head's own model last."""
    layout, options = record.layout or DEFAULT_LAYOUT, record.triton
    *parts, own = plan(source, layout, [head], options)
    new: list[_NewVersion] = []
    versions: dict[str, int] = {}
    for part in parts:
        present = deployed.get(part.name)
        digest = part.passport.content_digest
        if present is not None and present.passport.content_digest == digest:
            versions[part.name] = present.version
            continue
        if present is not None and (others := users_of(part.name, deployed) - {head.name}):
            what = "trunk" if part.name == TRUNK else part.name
            raise ExportError(
                f"{head.route} was exported with another {what} than the one in the repository, "
                f"which {len(others)} other heads use"
            )
        versions[part.name] = _next(present)
        new.append(_NewVersion(part, versions[part.name]))
    if head.generation is not None:
        changes = {"version": str(versions[head.generation.decoder])}
        head = head.model_copy(update={"generation": head.generation.model_copy(update=changes)})
    if layout is Layout.FUSED:
        config = model_config(head, own.passport, options)
    else:
        chain = [source.part(name).spec for name in own.passport.parts]
        config = ensemble_config(head, chain, own.passport, versions=versions, options=options)
    version = _next(deployed.get(head.name))
    return [*new, _NewVersion(replace(own, config=config, head=head), version)]


def _next(deployed: DeployedModel | None) -> int:
    return deployed.version + 1 if deployed else 1


def _write(
    new: Sequence[_NewVersion],
    deployed: Mapping[str, DeployedModel],
    repository: Path,
    staging: Path,
) -> None:
    """Write new versions into the staging directory; parts keep their last version too."""
    links: dict[Path, Path] = {}
    for entry in new:
        name = entry.model.name
        write_model(entry.model, staging / name, links, entry.version)
        present = deployed.get(name)
        if present is None or present.head is not None:
            continue
        for old in present.versions[-(_VERSIONS_KEPT - 1) :]:
            link_tree(repository / name / str(old), staging / name / str(old))


def _served_graphs(
    new: Sequence[_NewVersion], repository: Path, staging: Path, head: HeadSpec
) -> tuple[list[ServedGraph], ServedGraph | None]:
    """Locate the graphs that a head is run with.

    Returns:
        The graphs in the order they run, and the decoder of a head that writes text.
    """
    written = {entry.model.name for entry in new}
    own = read_deployed(staging)[head.name]

    def locate(name: str, version: int) -> ServedGraph:
        root = staging if name in written else repository
        return ServedGraph(name, version, root / name / str(version))

    parts = own.parts or {head.name: own.version}
    others = own.needs.items() - parts.items()
    return (
        [locate(*item) for item in parts.items()],
        next((locate(*item) for item in others), None),
    )


def _switch(
    new: Sequence[_NewVersion],
    head: HeadSpec,
    servers: Sequence[TritonControl],
    check: CandidateCheck,
    swap: Swap,
    on_step: Callable[[str], None],
) -> None:
    """Load and compare what has no traffic yet, then switch the head's own model."""
    *parts, own = new
    for part in parts:
        swap.place(part.model.name)
        for server in servers:
            server.load(part.model.name)
    for server in servers:
        if check.in_parts:
            check.compare_parts(server)
        else:
            _compare_candidate(own, server, check, swap)
        check.compare_decoder(server)
        on_step(f"compared on {server.address}")
    swap.place(own.model.name)
    for server in servers:
        server.load(own.model.name)
        check.compare(server, head.name, own.version)
        on_step(f"switched on {server.address}")


def _compare_candidate(
    own: _NewVersion, server: TritonControl, check: CandidateCheck, swap: Swap
) -> None:
    """Load a head in one piece under another name, compare its answers, unload it."""
    name = own.model.name
    candidate = f"{CANDIDATE_PREFIX}{name}"
    swap.place_candidate(name, check.candidate_config(own.model.config, candidate))
    try:
        server.load(candidate)
        check.compare(server, candidate, own.version)
    finally:
        with contextlib.suppress(OmniVecError):
            server.unload(candidate)
        swap.remove_candidate(name)


def _with_added(record: Record, names: Sequence[str]) -> Record:
    return record.model_copy(
        update={
            "added": tuple(sorted({*record.added, *names})),
            "removed": tuple(name for name in record.removed if name not in names),
        }
    )
