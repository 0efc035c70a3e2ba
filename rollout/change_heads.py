"""Putting a head into a model repository that is being served, and taking one out.

::

    1  written beside       files checked against their passports
    2  tried here           parts one behind the other, against the head in one piece
    3  loaded by Triton     as a new version that nobody is sent to yet, and compared with 2
    4  switched             the head's own model gets its new version

Whatever fails before the end is undone, and what was served before goes on being served.
A gateway with the embedded runtime watches the repository and tries the head itself.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.repository.assembly import (
    DEFAULT_LAYOUT,
    Record,
    locked,
    read_record,
    write_model,
    write_record,
)
from export.repository.config_writer import ensemble_config, model_config
from export.repository.layouts import Layout, PlannedModel, load_part, plan
from omnivec2.atomic_files import link_tree, staging_directory
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ExportError, OmniVecError, UnknownModelError
from omnivec2.parts import TRUNK
from omnivec2.passport import PASSPORT_FILE, load_passport
from omnivec2.spec import HeadSpec
from rollout.candidate_check import Location, Tryout
from rollout.deployed_heads import DeployedModel, read_deployed, users_of
from rollout.directory_swap import CANDIDATE_PREFIX, Swap, undone_on_failure
from rollout.triton_control import TritonControl

_VERSIONS_KEPT = 2


@dataclass(frozen=True)
class Added:
    """A head that is in its place.

    Attributes:
        route: ``<modality>/<task>``.
        version: of its model.
        written: the models and parts that are new, with their versions.
    """

    route: str
    version: int
    written: Mapping[str, int]


@dataclass(frozen=True)
class _New:
    """A model to be written and its version."""

    model: PlannedModel
    version: int


def add_head(
    checkpoint: Path,
    route: str,
    repository: Path,
    servers: Sequence[TritonControl] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Added:
    """Put a head of a checkpoint into a repository, or in the place of the head of its name.

    In the shared layout only what the repository does not have yet is written; the trunk
    must be the one that is there.

    Args:
        checkpoint: exported in the layout of the repository.
        route: the head.
        repository: being served or not.
        servers: Triton servers of this repository, in explicit mode.
        tell: told every step.

    Raises:
        UnknownModelError: the checkpoint has no such head.
        ArtifactError: it cannot be added; what was there is as it was.
    """
    source = read_checkpoint(checkpoint)
    head = _head_of(source, route)
    for server in servers:
        server.check()
    read_deployed(repository)  # there must be one before it can be locked
    with locked(repository), staging_directory(repository) as staging:
        record = read_record(repository)
        deployed = read_deployed(repository)
        new = _news(source, head, record.layout or DEFAULT_LAYOUT, deployed)
        _write(new, deployed, repository, staging)
        where = _locations(new, deployed, repository, staging, head)
        tell(f"written beside: {', '.join(f'{n.model.name} {n.version}' for n in new)}")
        decoder = _decoder_location(new, repository, staging, head)
        tryout = Tryout(head, where, _whole(source, head), decoder)
        tell(f"tried here: largest error {tryout.error:.1e}")
        with undone_on_failure(repository, staging, servers) as swap:
            _switch(new, head, servers, tryout, swap, tell)
        names = [entry.model.name for entry in new]
        write_record(repository, _with_added(record, names))
    return Added(route, new[-1].version, {n.model.name: n.version for n in new})


def remove_head(route: str, repository: Path, servers: Sequence[TritonControl] = ()) -> list[str]:
    """Take a head out of a repository, with the parts that no other head uses.

    Returns:
        The models and parts that are gone.

    Raises:
        UnknownModelError: the repository has no such head.
        ArtifactError: a Triton server does not answer; then nothing is removed.
    """
    name = route.replace("/", "_")
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
        gone = [name, *own]
        record = read_record(repository)
        write_record(
            repository,
            record.model_copy(
                update={
                    "added": tuple(n for n in record.added if n not in gone),
                    "removed": tuple(sorted({*record.removed, *(set(gone) & set(record.models))})),
                }
            ),
        )
        for model in gone:
            for server in servers:
                server.unload(model)
            shutil.rmtree(repository / model)
    return gone


def _head_of(source: Checkpoint, route: str) -> HeadSpec:
    for head in source.heads:
        if head.route == route:
            return head
    raise UnknownModelError(
        f"{source.directory} has no head {route}; it has "
        + ", ".join(head.route for head in source.heads)
    )


def _routes(deployed: Mapping[str, DeployedModel]) -> list[str]:
    return sorted(model.head.route for model in deployed.values() if model.head)


def _news(
    source: Checkpoint, head: HeadSpec, layout: Layout, deployed: Mapping[str, DeployedModel]
) -> list[_New]:
    """What has to be written, the head's own model last."""
    planned = {model.name: model for model in plan(replace(source, heads=(head,)), layout)}
    own = planned.pop(head.name)
    version = _next(deployed.get(head.name))
    new: list[_New] = []
    versions: dict[str, int] = {}
    for name, model in planned.items():
        there = deployed.get(name)
        digest = load_passport(model.files[PASSPORT_FILE]).content_digest
        if there is not None and there.passport.content_digest == digest:
            versions[name] = there.version
            continue
        if there is not None and (others := users_of(name, deployed) - {head.name}):
            what = "trunk" if name == TRUNK else name
            raise ExportError(
                f"{head.route} was exported with another {what} than the one in the repository, "
                f"which {len(others)} other heads use"
            )
        versions[name] = _next(there)
        new.append(_New(model, versions[name]))
    passport = load_passport(own.files[PASSPORT_FILE])
    if head.generation is not None:
        asked = {"version": str(versions[head.generation.decoder])}
        head = head.model_copy(update={"generation": head.generation.model_copy(update=asked)})
    if layout is Layout.FUSED:
        config = model_config(head, passport)
    else:
        chain = [load_part(source, name)[0] for name in passport.parts]
        config = ensemble_config(head, chain, passport, versions=versions)
    return [*new, _New(replace(own, config=config), version)]


def _next(deployed: DeployedModel | None) -> int:
    return deployed.version + 1 if deployed else 1


def _write(
    new: Sequence[_New], deployed: Mapping[str, DeployedModel], repository: Path, staging: Path
) -> None:
    """Write new versions into the staging directory; parts keep their last version beside."""
    links: dict[Path, Path] = {}
    for entry in new:
        name = entry.model.name
        write_model(entry.model, staging / name, links, entry.version)
        there = deployed.get(name)
        if there is None or there.head is not None:
            continue
        for old in there.versions[-(_VERSIONS_KEPT - 1) :]:
            link_tree(repository / name / str(old), staging / name / str(old))


def _locations(
    new: Sequence[_New],
    deployed: Mapping[str, DeployedModel],
    repository: Path,
    staging: Path,
    head: HeadSpec,
) -> list[Location]:
    """Where the graphs lie that the head is run with, in order."""
    versions = {entry.model.name: entry.version for entry in new}
    own = read_deployed(staging)[head.name]
    if not own.parts:
        return [Location(head.name, own.version, staging / head.name / str(own.version))]
    return [
        Location(name, version, (staging if name in versions else repository) / name / str(version))
        for name, version in own.parts.items()
    ]


def _decoder_location(
    new: Sequence[_New], repository: Path, staging: Path, head: HeadSpec
) -> Location | None:
    """Where the decoder of a head lies that writes text."""
    found = read_deployed(staging)[head.name].head
    if found is None or found.generation is None:
        return None
    name, version = found.generation.decoder, int(found.generation.version)
    root = staging if name in {entry.model.name for entry in new} else repository
    return Location(name, version, root / name / str(version))


def _whole(source: Checkpoint, head: HeadSpec) -> Path:
    """Where the head's graph in one piece lies."""
    return source.model_directory(head)


def _switch(
    new: Sequence[_New],
    head: HeadSpec,
    servers: Sequence[TritonControl],
    tryout: Tryout,
    swap: Swap,
    tell: Callable[[str], None],
) -> None:
    """Load and compare what nobody is sent to yet; then the head's own model."""
    *parts, own = new
    for part in parts:
        swap.place(part.model.name)
        for server in servers:
            server.load(part.model.name)
    for server in servers:
        if tryout.in_parts:
            tryout.compare_parts(server)
        else:
            _try_candidate(own, server, tryout, swap)
        tryout.compare_decoder(server)
        tell(f"compared on {server.address}")
    swap.place(own.model.name)
    for server in servers:
        server.load(own.model.name)
        tryout.compare(server, head.name, own.version)
        tell(f"switched on {server.address}")


def _try_candidate(own: _New, server: TritonControl, tryout: Tryout, swap: Swap) -> None:
    """Load a head in one piece under another name, compare its answers, unload it."""
    name = own.model.name
    candidate = f"{CANDIDATE_PREFIX}{name}"
    swap.place_candidate(name, tryout.candidate_config(own.model.config, candidate))
    try:
        server.load(candidate)
        tryout.compare(server, candidate, own.version)
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
