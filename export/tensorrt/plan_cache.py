"""TensorRT plans for the GPU of this machine, built again only when they must be.

A plan loads only in the TensorRT that built it and on the kind of GPU it was built on. What a
repository was built from is written down in it, and compared before anything is built.
Needs neither torch nor the network.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from export.graphs.exported_graphs import ExportedParts, whole_graph
from export.repository.assembly import VERSION, read_record
from export.repository.conversion import Target, build_repository
from export.repository.layouts import Layout
from omnivec2.atomic_files import write_file
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import OmniVecError
from omnivec2.passport import Passport, Precision, verify_passport

KEY_FILE = ".engines.json"
"""In the repository; Triton looks only at directories."""


class EnginesKey(BaseModel):
    """Everything that plans depend on.

    Attributes:
        passports: SHA-256 over the passports of all graphs that go in.
        gpu: fingerprint of the GPU: name, compute capability, driver.
        tensorrt: version of the library, which follows from Triton's release.
        precision: they compute in.
        layout: fused or shared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passports: str
    gpu: str
    tensorrt: str
    precision: Precision
    layout: Layout


def ensure_engines(
    checkpoint: Path, out: Path, layout: Layout, target: Target, console: Console | None = None
) -> str:
    """Build the plans of a checkpoint, unless those that are there are still right.

    Args:
        checkpoint: exported in this layout.
        out: the repository; made if need be.
        layout: fused or shared.
        target: for TensorRT, as ``export.repository.conversion.make_target`` makes it.
        console: where progress is shown.

    Returns:
        Why they were built; empty if they were right.

    Raises:
        ExportError, ParityError, PassportError: see ``build_repository``.
    """
    key = engines_key(read_checkpoint(checkpoint), layout, target)
    reason = why_build(out, key)
    if not reason:
        return ""
    # Without its key, what a build that is killed leaves behind is not taken for right.
    (out / KEY_FILE).unlink(missing_ok=True)
    build_repository(checkpoint, out, layout, target, console)
    write_file(out / KEY_FILE, (key.model_dump_json(indent=1) + "\n").encode())
    return reason


def engines_key(source: Checkpoint, layout: Layout, target: Target) -> EnginesKey:
    """What plans of a checkpoint depend on, on this machine.

    Raises:
        PassportError: a head is not exported in this layout.
    """
    digest = hashlib.sha256()
    for passport in _passports(source, layout):
        digest.update(passport.model_dump_json().encode())
    return EnginesKey(
        passports=digest.hexdigest(),
        gpu=target.gpu,
        tensorrt=str(getattr(target.trt, "__version__", "")),
        precision=target.precision,
        layout=layout,
    )


def why_build(out: Path, key: EnginesKey) -> str:
    """Why plans must be built, in words; empty if those in a repository are right.

    Args:
        out: the repository; need not be there.
        key: what they must have been built from.
    """
    try:
        before = EnginesKey.model_validate_json((out / KEY_FILE).read_bytes())
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
    """What is wrong with the files of a repository; empty if nothing is."""
    models = read_record(out).models
    if not models:
        return "the record of the repository is gone"
    try:
        for model in models:
            verify_passport(out / model / VERSION)
    except OmniVecError as error:
        return str(error)
    return ""


def _passports(source: Checkpoint, layout: Layout) -> list[Passport]:
    """Of every graph and ensemble that goes in, in one order."""
    if layout is Layout.FUSED:
        return [whole_graph(source, head).passport for head in source.heads]
    parts = ExportedParts(source)
    passports = {part.name: part.passport for route in parts.routes for part in route.parts}
    ensembles = [route.passport for route in parts.routes]
    return [*(passports[name] for name in sorted(passports)), *ensembles]
