"""The models that a repository holds in each layout, and the files they are made from.

::

    fused     <modality>_<task>/1/            model.onnx  weights.safetensors  passport.json
    shared    tokenizer_<modality>/1/  trunk/1/  head_<modality>_<task>/1/    the same files
              <modality>_<task>/1/            passport.json: an ensemble of the parts
    both      decoder_<modality>_<task>/1/    of heads that write text
              <modality>_<task>/1/            gate.npz, beside the passport that names it

Needs neither torch nor onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel

from export.exported_checkpoint import ExportedCheckpoint, ExportedPart, ensemble_path
from export.repository.config_writer import ensemble_config, model_config, part_config
from export.repository.triton_options import TritonOptions
from omnivec2.digests import file_digest
from omnivec2.errors import PassportError
from omnivec2.model_config import HEAD_SPEC_FILE
from omnivec2.parts import TRUNK, PartSpec
from omnivec2.passport import PASSPORT_FILE, WEIGHTS_FILE, Passport
from omnivec2.spec import HeadSpec


class Layout(StrEnum):
    """How heads share the trunk: a copy of it per head, or one for all."""

    FUSED = "fused"
    SHARED = "shared"


@dataclass(frozen=True)
class PlannedModel:
    """A model as it is to be written into a repository.

    Attributes:
        name: The name of its directory.
        config: The text of its ``config.pbtxt``.
        files: A map from names in the version directory to the files that are copied there.
        passport: The passport that its configuration carries.
        head: The head spec that its configuration carries; None for a part.
    """

    name: str
    config: str
    files: Mapping[str, Path]
    passport: Passport
    head: HeadSpec | None = None

    @property
    def side_files(self) -> dict[str, str]:
        """The texts of the files beside a head's configuration, by name.

        They are what the configuration carries on one line each, for people to read.
        """
        if self.head is None:
            return {}
        return {HEAD_SPEC_FILE: _readable(self.head), PASSPORT_FILE: _readable(self.passport)}


def _readable(value: BaseModel) -> str:
    return f"{value.model_dump_json(indent=1)}\n"


def plan(
    source: ExportedCheckpoint,
    layout: Layout,
    heads: Sequence[HeadSpec] | None = None,
    options: TritonOptions | None = None,
) -> list[PlannedModel]:
    """Return the models of a repository, each after those it needs.

    Args:
        source: The exported checkpoint.
        layout: The layout of the repository.
        heads: The heads it serves; all of the checkpoint if None.
        options: The backend and batching in Triton; ONNX Runtime's if None.

    Raises:
        PassportError: A head is not exported in this layout, or from other weights.
    """
    chosen = source.heads if heads is None else heads
    return _PLANS[layout](source, chosen, options or TritonOptions())


def is_current(source: ExportedCheckpoint, head: HeadSpec, layout: Layout) -> bool:
    """Whether a head is exported in a layout, from these weights, and no graph was altered."""
    try:
        if layout is Layout.FUSED:
            directory = source.checkpoint.model_directory(head)
            graphs = {directory: source.whole_passport(head)}
        else:
            ensemble = source.ensemble_passport(head)
            if ensemble.checkpoint_digest != source.checkpoint.digest:
                return False
            parts = [source.part(name) for name in ensemble.parts]
            graphs = {part.directory: part.passport for part in parts}
        if (decoder := source.decoder(head)) is not None:
            graphs[decoder.directory] = decoder.passport
        return all(
            passport.checkpoint_digest == source.checkpoint.digest
            and passport.files[name] == file_digest(directory / name)
            for directory, passport in graphs.items()
            for name in passport.files.keys() - {WEIGHTS_FILE}
        )
    except (OSError, PassportError):
        return False


def current_part(source: ExportedCheckpoint, spec: PartSpec) -> Passport | None:
    """Return the passport of a part that is exported as it is specified, from these weights.

    Args:
        source: The checkpoint.
        spec: The tensors of the part as the network has them.

    Returns:
        The passport; None if the part has to be exported.
    """
    try:
        part = source.part(spec.name)
        is_same = part.spec == spec and all(
            digest == file_digest(part.directory / name)
            for name, digest in part.passport.files.items()
            if name != WEIGHTS_FILE
        )
    except (OSError, PassportError):
        return None
    return part.passport if is_same else None


def _plan_fused(
    source: ExportedCheckpoint, heads: Sequence[HeadSpec], options: TritonOptions
) -> list[PlannedModel]:
    passports = _passports(source, heads, Layout.FUSED)
    decoders = _plan_decoders(source, passports, Layout.FUSED, options)
    return decoders + [
        PlannedModel(
            head.name,
            model_config(head, passport, options),
            source.graph_files(source.checkpoint.model_directory(head))
            | source.gate_files(head, passport),
            passport,
            head,
        )
        for head, passport in passports
    ]


def _plan_shared(
    source: ExportedCheckpoint, heads: Sequence[HeadSpec], options: TritonOptions
) -> list[PlannedModel]:
    parts: dict[str, ExportedPart] = {}
    ensembles: list[PlannedModel] = []
    passports = _passports(source, heads, Layout.SHARED)
    for head, passport in passports:
        used = [
            _exported_with(source, head, *item, Layout.SHARED) for item in passport.parts.items()
        ]
        parts |= {part.spec.name: part for part in used}
        files = {PASSPORT_FILE: ensemble_path(source.checkpoint, head)}
        files |= source.gate_files(head, passport)
        specs = [part.spec for part in used]
        reference = source.training_reference(head, passport)
        config = ensemble_config(head, specs, passport, options=options, reference=reference)
        ensembles.append(PlannedModel(head.name, config, files, passport, head))
    order = sorted(parts, key=lambda name: (name != TRUNK, name))
    decoders = _plan_decoders(source, passports, Layout.SHARED, options)
    planned = [_plan_part(source, parts[name], options) for name in order]
    return planned + decoders + ensembles


def _plan_decoders(
    source: ExportedCheckpoint,
    passports: Sequence[tuple[HeadSpec, Passport]],
    layout: Layout,
    options: TritonOptions,
) -> list[PlannedModel]:
    """Plan the decoders of heads that write text; they are the same in every layout."""
    return [
        _plan_part(source, _exported_with(source, head, name, digest, layout), options)
        for head, passport in passports
        for name, digest in passport.dependencies(head).items()
        if name not in passport.parts
    ]


_Plan = Callable[[ExportedCheckpoint, Sequence[HeadSpec], TritonOptions], list[PlannedModel]]
_PLANS: Mapping[Layout, _Plan] = {
    Layout.FUSED: _plan_fused,
    Layout.SHARED: _plan_shared,
}


def _passports(
    source: ExportedCheckpoint, heads: Sequence[HeadSpec], layout: Layout
) -> list[tuple[HeadSpec, Passport]]:
    """Return every head with its passport in a layout, checked against the checkpoint."""
    fused = layout is Layout.FUSED
    is_exported = source.has_whole if fused else source.has_ensemble
    if missing := [head.route for head in heads if not is_exported(head)]:
        raise PassportError(
            f"{source.checkpoint.directory}: not exported yet: {', '.join(missing)}; "
            f"{_command(layout)}"
        )
    passport_of = source.whole_passport if fused else source.ensemble_passport
    passports = [(head, passport_of(head)) for head in heads]
    for head, passport in passports:
        if passport.model != head.name or passport.checkpoint_digest != source.checkpoint.digest:
            raise PassportError(
                f"{head.route}: its graph was exported from other weights; {_command(layout)}"
            )
    return passports


def _exported_with(
    source: ExportedCheckpoint, head: HeadSpec, name: str, digest: str, layout: Layout
) -> ExportedPart:
    """Return a part that a head depends on, sure that the head was exported with this one."""
    part = source.part(name)
    if part.passport.content_digest != digest:
        raise PassportError(
            f"{head.route}: {name} is not the one it was exported with; {_command(layout)}"
        )
    return part


def _command(layout: Layout) -> str:
    return f"run `omnivec2 export --layout {layout}`"


def _plan_part(
    source: ExportedCheckpoint, part: ExportedPart, options: TritonOptions
) -> PlannedModel:
    config = part_config(part.spec, part.passport, options)
    return PlannedModel(part.spec.name, config, source.graph_files(part.directory), part.passport)
