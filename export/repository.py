"""A Triton model repository, assembled from an exported checkpoint.

::

    <out>/<model>/config.pbtxt
    <out>/<model>/1/model.onnx  weights.safetensors  passport.json

Which models there are is the layout's (``export.layouts``). Needs neither torch nor onnx:
it copies graphs and hard-links the one weights file.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from export.config import CONFIG_FILE
from export.layouts import Layout, PlannedModel, plan
from omnivec2.atomic import (
    RETIRED_PREFIX,
    clear_staging,
    link_or_copy,
    recover_directory,
    replace_directory,
    staging_directory,
    write_file,
)
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import ArtifactError, PassportError
from omnivec2.passport import PASSPORT_FILE, WEIGHTS_FILE, verify_passport

VERSION = "1"
DEFAULT_LAYOUT = Layout.SHARED
MODEL_NAME = r"^[a-z][a-z0-9_]*$"
_LOCK_FILE = ".lock"
_WRITTEN_FILE = ".assembled.json"
_LOCK_TIMEOUT_SECONDS = 300.0


def assemble(checkpoint: Path, out: Path, layout: Layout | None = None) -> list[Path]:
    """Bring a model repository up to date with a checkpoint.

    Models that are up to date are left alone, those that the checkpoint or the layout no
    longer has are removed, and directories somebody else put there are not touched. All
    that is new is written beside and then moved into place, models after those they need,
    so that a server never sees half of it. Several processes may call this at once: one
    works, the others wait.

    Args:
        checkpoint: an exported checkpoint directory.
        out: the repository; made if need be. Read-only is fine if it is up to date.
        layout: fused or shared; None keeps the repository's, or makes it shared.

    Returns:
        The model directories, each after those it needs.

    Raises:
        CheckpointError: the checkpoint is incomplete or altered.
        PassportError: a head is not exported, or its graph is of other weights.
        ArtifactError: another process holds the repository for minutes, or it cannot
            be written.
    """
    source = read_checkpoint(checkpoint)
    written = _written(out)
    chosen = layout or written.layout or DEFAULT_LAYOUT
    models = plan(source, chosen)
    paths = [out / model.name for model in models]
    gone = sorted(set(written.models) - {model.name for model in models})
    if written.layout == chosen and not gone and all(_is_current(m, out) for m in models):
        return paths
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / _LOCK_FILE, timeout=_LOCK_TIMEOUT_SECONDS):
            _update(models, out, chosen)
    except Timeout as error:
        raise ArtifactError(
            f"{out}: another process has been assembling it for {_LOCK_TIMEOUT_SECONDS:.0f} seconds"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
    return paths


def _update(models: Sequence[PlannedModel], out: Path, layout: Layout) -> None:
    for left in out.glob(f"{RETIRED_PREFIX}*"):
        recover_directory(out / left.name.removeprefix(RETIRED_PREFIX))
    clear_staging(out)
    # Checked again: another process may have done the work while this one waited.
    outdated = [model for model in models if not _is_current(model, out)]
    with staging_directory(out) as staging:
        links: dict[Path, Path] = {}
        for model in outdated:
            _write_model(model, staging / model.name, links)
        for name in set(_written(out).models) - {model.name for model in models}:
            shutil.rmtree(out / name, ignore_errors=True)
        for model in outdated:
            replace_directory(staging / model.name, out / model.name)
    record = _Written(layout=layout, models=tuple(model.name for model in models))
    write_file(out / _WRITTEN_FILE, (record.model_dump_json(indent=1) + "\n").encode())


def _is_current(model: PlannedModel, out: Path) -> bool:
    """Whether a model is what ``_write_model`` would write."""
    target = out / model.name
    try:
        wanted = model.files[PASSPORT_FILE].read_bytes()
        if (target / VERSION / PASSPORT_FILE).read_bytes() != wanted:
            return False
        if (target / CONFIG_FILE).read_text("utf-8") != model.config:
            return False
        verify_passport(target / VERSION)
    except (OSError, ValueError, PassportError):
        return False
    return True


def _write_model(model: PlannedModel, target: Path, links: dict[Path, Path]) -> None:
    """Write one model; a file that several models have is on the disk once if possible.

    Args:
        model: what to write.
        target: its directory.
        links: file -> where it was put before, for disks that the checkpoint is not on.
    """
    version = target / VERSION
    version.mkdir(parents=True)
    (target / CONFIG_FILE).write_text(model.config, "utf-8")
    for name, file in model.files.items():
        if name == WEIGHTS_FILE:
            link_or_copy(links.get(file, file), version / name)
            links[file] = version / name
        else:
            shutil.copyfile(file, version / name)
    verify_passport(version)


class _Written(BaseModel):
    """What an earlier run wrote here; nothing if it cannot be read."""

    layout: Layout | None = None
    models: tuple[Annotated[str, Field(pattern=MODEL_NAME)], ...] = ()


def _written(out: Path) -> _Written:
    try:
        return _Written.model_validate_json((out / _WRITTEN_FILE).read_bytes())
    except (OSError, ValidationError):
        return _Written()
