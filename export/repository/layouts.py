"""Which models a repository holds in each layout, and from which files of a checkpoint.

::

    fused     <modality>_<task>/1/            model.onnx  weights.safetensors  passport.json
    shared    tokenizer_<modality>/1/  trunk/1/  head_<modality>_<task>/1/    the same files
              <modality>_<task>/1/            passport.json: an ensemble of the parts
    both      decoder_<modality>_<task>/1/    of heads that write text

Needs neither torch nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from export.repository.config_writer import ensemble_config, model_config, part_config
from omnivec2.checkpoint import Checkpoint
from omnivec2.digests import file_digest
from omnivec2.errors import PassportError
from omnivec2.parts import TRUNK, PartSpec
from omnivec2.passport import (
    GRAPH_FILE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    Passport,
    load_passport,
)
from omnivec2.spec import HeadSpec

PARTS_DIRECTORY = "parts"
PART_FILE = "part.json"
ENSEMBLE_FILE = "ensemble.json"
"""Beside a head's fused graph: the passport of the same head put together from parts."""


class Layout(StrEnum):
    """How the trunk is shared out: a copy per head, or one for all."""

    FUSED = "fused"
    SHARED = "shared"


@dataclass(frozen=True)
class PlannedModel:
    """A model as it shall lie in the repository.

    Attributes:
        name: its directory.
        config: text of its ``config.pbtxt``.
        files: name in the version directory -> file of the checkpoint.
    """

    name: str
    config: str
    files: Mapping[str, Path]


def part_directory(source: Checkpoint, name: str) -> Path:
    """Where a part's spec, graph and passport lie in a checkpoint."""
    return source.directory / PARTS_DIRECTORY / name


def ensemble_path(source: Checkpoint, head: HeadSpec) -> Path:
    """Where the passport of a head put together from parts lies in a checkpoint."""
    return source.model_directory(head) / ENSEMBLE_FILE


def decoder_digest(source: Checkpoint, head: HeadSpec) -> str | None:
    """Content digest of the decoder a head is asked with; None if it writes no text.

    Raises:
        PassportError: the decoder is not exported, or from other weights.
    """
    if head.generation is None:
        return None
    return load_part(source, head.generation.decoder)[1].content_digest


def plan(source: Checkpoint, layout: Layout) -> list[PlannedModel]:
    """The models of a repository, each after those it needs.

    Raises:
        PassportError: a head is not exported in this layout, or from other weights.
    """
    return _PLANS[layout](source)


def is_current(source: Checkpoint, head: HeadSpec, layout: Layout) -> bool:
    """Whether a head is exported in a layout, from these weights, and no graph was altered."""
    try:
        if layout is Layout.FUSED:
            directories = [source.model_directory(head)]
        else:
            ensemble = load_passport(ensemble_path(source, head))
            if ensemble.checkpoint_digest != source.digest:
                return False
            directories = [part_directory(source, name) for name in ensemble.parts]
        if head.generation is not None:
            directories.append(part_directory(source, head.generation.decoder))
        return all(_is_vouched_for(directory, source) for directory in directories)
    except (OSError, PassportError):
        return False


def _is_vouched_for(directory: Path, source: Checkpoint) -> bool:
    passport = load_passport(directory / PASSPORT_FILE)
    graph = file_digest(directory / GRAPH_FILE)
    return passport.checkpoint_digest == source.digest and passport.files[GRAPH_FILE] == graph


def _plan_fused(source: Checkpoint) -> list[PlannedModel]:
    exported = _exported(source, _fused_path, Layout.FUSED)
    return _plan_decoders(source, exported, Layout.FUSED) + [
        PlannedModel(
            head.name,
            model_config(head, passport),
            _graph_files(source, source.model_directory(head)),
        )
        for head, passport in exported
    ]


def _plan_shared(source: Checkpoint) -> list[PlannedModel]:
    parts: dict[str, tuple[PartSpec, Passport]] = {}
    ensembles: list[PlannedModel] = []
    exported = _exported(source, ensemble_path, Layout.SHARED)
    for head, passport in exported:
        for name, digest in passport.parts.items():
            if name not in parts:
                parts[name] = load_part(source, name)
            if parts[name][1].content_digest != digest:
                raise PassportError(
                    f"{head.route}: {name} is not the one it was exported with; "
                    f"{_command(Layout.SHARED)}"
                )
        chain = [parts[name][0] for name in passport.parts]
        files = {PASSPORT_FILE: ensemble_path(source, head)}
        ensembles.append(PlannedModel(head.name, ensemble_config(head, chain, passport), files))
    order = sorted(parts, key=lambda name: (name != TRUNK, name))
    decoders = _plan_decoders(source, exported, Layout.SHARED)
    return [_plan_part(source, *parts[name]) for name in order] + decoders + ensembles


def _plan_decoders(
    source: Checkpoint, exported: Sequence[tuple[HeadSpec, Passport]], layout: Layout
) -> list[PlannedModel]:
    """The decoders of heads that write text: the same in every layout."""
    planned = []
    for head, passport in exported:
        if head.generation is None:
            continue
        spec, own = load_part(source, head.generation.decoder)
        if own.content_digest != passport.decoder:
            raise PassportError(
                f"{head.route}: {spec.name} is not the one it was exported with; {_command(layout)}"
            )
        planned.append(_plan_part(source, spec, own))
    return planned


_PLANS: Mapping[Layout, Callable[[Checkpoint], list[PlannedModel]]] = {
    Layout.FUSED: _plan_fused,
    Layout.SHARED: _plan_shared,
}


def _fused_path(source: Checkpoint, head: HeadSpec) -> Path:
    """The passport of a head's graph, or the graph if that is missing."""
    directory = source.model_directory(head)
    graph = directory / GRAPH_FILE
    return directory / PASSPORT_FILE if graph.exists() else graph


def _command(layout: Layout) -> str:
    return f"run `omnivec2 export --layout {layout}`"


def _exported(
    source: Checkpoint, path_of: Callable[[Checkpoint, HeadSpec], Path], layout: Layout
) -> list[tuple[HeadSpec, Passport]]:
    """Every head with its passport in a layout."""
    paths = {head.route: path_of(source, head) for head in source.heads}
    if missing := [route for route, path in paths.items() if not path.exists()]:
        raise PassportError(
            f"{source.directory}: not exported yet: {', '.join(missing)}; {_command(layout)}"
        )
    found = [(head, load_passport(paths[head.route])) for head in source.heads]
    for head, passport in found:
        if passport.model != head.name or passport.checkpoint_digest != source.digest:
            raise PassportError(
                f"{head.route}: its graph was exported from other weights; {_command(layout)}"
            )
    return found


def load_part(source: Checkpoint, name: str) -> tuple[PartSpec, Passport]:
    """A part's spec and passport.

    Raises:
        PassportError: it is not exported, or from other weights.
    """
    directory = part_directory(source, name)
    try:
        spec = PartSpec.model_validate_json((directory / PART_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise PassportError(f"{directory / PART_FILE}: not the spec of a part: {error}") from error
    passport = load_passport(directory / PASSPORT_FILE)
    if passport.model != name or spec.name != name or passport.checkpoint_digest != source.digest:
        raise PassportError(f"{directory}: exported from other weights, or of another part")
    return spec, passport


def _plan_part(source: Checkpoint, spec: PartSpec, passport: Passport) -> PlannedModel:
    files = _graph_files(source, part_directory(source, spec.name))
    return PlannedModel(spec.name, part_config(spec, passport), files)


def _graph_files(source: Checkpoint, directory: Path) -> dict[str, Path]:
    return {
        GRAPH_FILE: directory / GRAPH_FILE,
        PASSPORT_FILE: directory / PASSPORT_FILE,
        WEIGHTS_FILE: source.weights_path,
    }
