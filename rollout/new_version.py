"""New versions of a head's model and parts: planned, written beside, put into service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.exported_checkpoint import ExportedCheckpoint
from export.repository.assembly import DEFAULT_LAYOUT, Record, write_model
from export.repository.config_writer import ensemble_config, model_config
from export.repository.layouts import Layout, PlannedModel, plan
from omnivec2.atomic_files import link_tree
from omnivec2.errors import ExportError, OmniVecError
from omnivec2.parts import TRUNK
from omnivec2.spec import HeadSpec
from rollout.candidate_check import CandidateCheck, ServedGraph
from rollout.deployed_heads import DeployedModel, read_deployed, users_of
from rollout.directory_swap import CANDIDATE_PREFIX, Swap, rolled_back_on_failure
from rollout.triton_control import TritonControl

_VERSIONS_KEPT = 2


@dataclass(frozen=True)
class NewVersion:
    """A model to be written, and its version.

    Attributes:
        model: The model.
        version: The name of its version directory.
    """

    model: PlannedModel
    version: int


@dataclass(frozen=True)
class Place:
    """A repository in which versions are installed, and who runs it.

    Attributes:
        repository: The repository, locked.
        staging: An empty directory on the same disk.
        deployed: The models of the repository.
        servers: The Triton servers of the repository, in explicit mode.
    """

    repository: Path
    staging: Path
    deployed: Mapping[str, DeployedModel]
    servers: Sequence[TritonControl] = ()


def install_versions(
    new: Sequence[NewVersion],
    head: HeadSpec,
    whole: Path,
    place: Place,
    on_step: Callable[[str], None],
) -> None:
    """Write new versions, test them, load them into servers and put them into service.

    Args:
        new: The versions, the head's own model last.
        head: The spec of the head.
        whole: The directory of the same head's graph in one piece; it need not exist.
        place: The place of the versions.
        on_step: A callback for a line about every step.

    Raises:
        ArtifactError: A step failed; the repository and the servers are as they were.
    """
    _write_versions(new, place)
    graphs, decoder = _locate_graphs(new, place)
    on_step(f"written beside: {', '.join(f'{n.model.name} {n.version}' for n in new)}")
    check = CandidateCheck(head, graphs, whole, decoder)
    on_step(f"tried here: largest error {check.error:.1e}")
    with rolled_back_on_failure(place.repository, place.staging, place.servers) as swap:
        _switch_versions(new, place.servers, check, swap, on_step)


def plan_new_versions(
    source: ExportedCheckpoint,
    head: HeadSpec,
    record: Record,
    deployed: Mapping[str, DeployedModel],
    least: int = 1,
) -> list[NewVersion]:
    """Return what has to be written, the head's own model last.

    Args:
        source: The checkpoint that has the head.
        head: The head.
        record: The record of the repository.
        deployed: The models of the repository.
        least: The least version of what is new.

    Raises:
        ExportError: The head needs another part than one that other heads use.
    """
    layout, options = record.layout or DEFAULT_LAYOUT, record.triton
    *parts, own = plan(source, layout, [head], options)
    new: list[NewVersion] = []
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
        versions[part.name] = max(least, _next(present))
        new.append(NewVersion(part, versions[part.name]))
    if head.generation is not None:
        changes = {"version": str(versions[head.generation.decoder])}
        head = head.model_copy(update={"generation": head.generation.model_copy(update=changes)})
    if layout is Layout.FUSED:
        config = model_config(head, own.passport, options)
    else:
        chain = [source.part(name).spec for name in own.passport.parts]
        config = ensemble_config(
            head,
            chain,
            own.passport,
            versions=versions,
            options=options,
            reference=source.training_reference(head, own.passport),
        )
    version = max(least, _next(deployed.get(head.name)))
    return [*new, NewVersion(replace(own, config=config, head=head), version)]


def _next(deployed: DeployedModel | None) -> int:
    return deployed.version + 1 if deployed else 1


def _write_versions(new: Sequence[NewVersion], place: Place) -> None:
    """Write new versions into the staging directory; parts keep their last version too."""
    links: dict[Path, Path] = {}
    for entry in new:
        name = entry.model.name
        target = place.staging / name
        write_model(entry.model, target, links, entry.version)
        present = place.deployed.get(name)
        if present is None or present.head is not None:
            continue
        for old in present.versions[-(_VERSIONS_KEPT - 1) :]:
            link_tree(place.repository / name / str(old), target / str(old))


def _locate_graphs(
    new: Sequence[NewVersion], place: Place
) -> tuple[list[ServedGraph], ServedGraph | None]:
    """Locate the graphs that a head, the last of some new versions, is run with.

    Returns:
        The graphs in the order they run, and the decoder of a head that writes text.
    """
    written = {entry.model.name for entry in new}
    name = new[-1].model.name
    own = read_deployed(place.staging)[name]

    def locate(model: str, version: int) -> ServedGraph:
        root = place.staging if model in written else place.repository
        return ServedGraph(model, version, root / model / str(version))

    parts = own.parts or {name: own.version}
    others = own.needs.items() - parts.items()
    return (
        [locate(*item) for item in parts.items()],
        next((locate(*item) for item in others), None),
    )


def _switch_versions(
    new: Sequence[NewVersion],
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
        check.compare(server, own.model.name, own.version)
        on_step(f"switched on {server.address}")


def _compare_candidate(
    own: NewVersion, server: TritonControl, check: CandidateCheck, swap: Swap
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


def with_added(record: Record, names: Sequence[str]) -> Record:
    """Return the record of a repository to which models and parts were added."""
    return record.model_copy(
        update={
            "added": tuple(sorted({*record.added, *names})),
            "removed": tuple(name for name in record.removed if name not in names),
        }
    )
