"""TensorRT plans for the GPU of this machine, built again only when they must be.

A plan loads only in the TensorRT that built it and on the kind of GPU it was built on. The
repository records what it was built from, which is compared before anything is built.
Needs neither torch nor the network.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.graphs.exported_graphs import ExportedParts, whole_graph
from export.repository.assembly import VERSION, read_record
from export.repository.build_target import BuildTarget
from export.repository.conversion import build_repository
from export.repository.layouts import Layout
from omnivec2.atomic_files import write_file
from omnivec2.errors import OmniVecError
from omnivec2.passport import Passport, Precision, verify_passport

KEY_FILE = ".engines.json"
"""A file of the repository; Triton reads only directories."""


class PlansKey(BaseModel):
    """Everything that plans depend on.

    Attributes:
        passports: The SHA-256 over the passports of all graphs.
        gpu: The fingerprint of the GPU: name, compute capability, driver.
        tensorrt: The version of the library, which follows from Triton's release.
        precision: The precision they compute in.
        layout: The layout of the repository.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passports: str
    gpu: str
    tensorrt: str
    precision: Precision
    layout: Layout


def ensure_plans(
    checkpoint: Path, out: Path, layout: Layout, target: BuildTarget, console: Console | None = None
) -> str:
    """Build the plans of a checkpoint, unless the repository has valid ones.

    Args:
        checkpoint: The directory of the checkpoint, exported in this layout.
        out: The repository; it is made if need be.
        layout: The layout of the repository.
        target: The target for TensorRT, as ``export.repository.build_target.make_target`` makes it.
        console: The console that shows progress.

    Returns:
        The reason why they were built; empty if they were valid.

    Raises:
        ExportError, ParityError, PassportError: see ``build_repository``.
    """
    source = read_exported_checkpoint(checkpoint)
    key = plans_key(source, layout, target)
    reason = why_build(out, key)
    if not reason:
        return ""
    # Without its key, what a killed build leaves behind does not count as valid.
    (out / KEY_FILE).unlink(missing_ok=True)
    build_repository(source, out, layout, target, console)
    write_file(out / KEY_FILE, (key.model_dump_json(indent=1) + "\n").encode())
    return reason


def plans_key(source: ExportedCheckpoint, layout: Layout, target: BuildTarget) -> PlansKey:
    """Return what plans of a checkpoint depend on, on this machine.

    Raises:
        PassportError: A head is not exported in this layout.
    """
    digest = hashlib.sha256()
    for passport in _passports(source, layout):
        digest.update(passport.model_dump_json().encode())
    return PlansKey(
        passports=digest.hexdigest(),
        gpu=target.gpu,
        tensorrt=str(getattr(target.trt, "__version__", "")),
        precision=target.precision,
        layout=layout,
    )


def why_build(out: Path, key: PlansKey) -> str:
    """Return the reason why plans must be built; empty if a repository has valid ones.

    Args:
        out: The repository; it need not exist.
        key: The key of the plans that are needed.
    """
    try:
        before = PlansKey.model_validate_json((out / KEY_FILE).read_bytes())
    except FileNotFoundError:
        return "there are none"
    except (OSError, ValidationError):
        return "it is not known what they were built from"
    changed = [
        f"{name} changed from {getattr(before, name)} to {value}"
        for name, value in key.model_dump(mode="json").items()
        if before.model_dump(mode="json")[name] != value
    ]
    return "; ".join(changed) or _damage(out)


def _damage(out: Path) -> str:
    """Return what is wrong with the files of a repository; empty if nothing is."""
    models = read_record(out).models
    if not models:
        return "the record of the repository is gone"
    try:
        for model in models:
            verify_passport(out / model / VERSION)
    except OmniVecError as error:
        return str(error)
    return ""


def _passports(source: ExportedCheckpoint, layout: Layout) -> list[Passport]:
    """Return the passports of all graphs and ensembles, always in the same order."""
    if layout is Layout.FUSED:
        return [whole_graph(source, head).passport for head in source.heads]
    parts = ExportedParts(source)
    passports = {part.name: part.passport for head in parts.heads for part in head.parts}
    ensembles = [head.passport for head in parts.heads]
    return [*(passports[name] for name in sorted(passports)), *ensembles]
