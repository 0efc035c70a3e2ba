"""The model repository of the fused layout, assembled from an exported checkpoint.

::

    <out>/<modality>_<task>/config.pbtxt
    <out>/<modality>_<task>/1/model.onnx  weights.safetensors  passport.json

Needs neither torch nor onnx: it copies graphs and hard-links the one weights file.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from export.config import CONFIG_FILE, model_config
from omnivec2.atomic import clear_staging, link_or_copy, replacing_directory, write_file
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ArtifactError, PassportError
from omnivec2.passport import (
    GRAPH_FILE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    load_passport,
    verify_passport,
)
from omnivec2.spec import HeadSpec

VERSION = "1"
_LOCK_FILE = ".lock"
_WRITTEN_FILE = ".assembled.json"
_LOCK_TIMEOUT_SECONDS = 300.0
_MODEL_NAME = re.compile(r"[a-z][a-z0-9_]*")


def assemble(checkpoint: Path, out: Path) -> list[Path]:
    """Bring a model repository up to date with a checkpoint.

    Models that are up to date are left alone, those of heads that the checkpoint no longer
    has are removed, and directories somebody else put there are not touched. Each model is
    replaced whole. Several processes may call this at once: one works, the others wait.

    Args:
        checkpoint: an exported checkpoint directory.
        out: the repository; made if need be. Read-only is fine if it is up to date.

    Returns:
        The model directories, in the order of their names.

    Raises:
        CheckpointError: the checkpoint is incomplete or altered.
        PassportError: a head is not exported, or its graph is of other weights.
        ArtifactError: another process holds the repository for minutes, or it cannot
            be written.
    """
    source = read_checkpoint(checkpoint)
    _check_exported(source)
    models = [out / head.name for head in source.heads]
    current = all(_is_current(source, head, out / head.name) for head in source.heads)
    if current and not _gone(source, out):
        return models
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / _LOCK_FILE, timeout=_LOCK_TIMEOUT_SECONDS):
            _update(source, out)
    except Timeout as error:
        raise ArtifactError(
            f"{out}: another process has been assembling it for {_LOCK_TIMEOUT_SECONDS:.0f} seconds"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
    return models


def _check_exported(source: Checkpoint) -> None:
    missing = [h.route for h in source.heads if not _has_graph(source.model_directory(h))]
    if missing:
        raise PassportError(
            f"{source.directory}: not exported yet: {', '.join(missing)}; run `omnivec2 export`"
        )
    for head in source.heads:
        passport = load_passport(source.model_directory(head) / PASSPORT_FILE)
        if passport.model != head.name or passport.checkpoint_digest != source.digest:
            raise PassportError(
                f"{head.route}: its graph was exported from other weights; run `omnivec2 export`"
            )


def _has_graph(directory: Path) -> bool:
    return (directory / GRAPH_FILE).exists() and (directory / PASSPORT_FILE).exists()


def _update(source: Checkpoint, out: Path) -> None:
    for name in _gone(source, out):
        shutil.rmtree(out / name, ignore_errors=True)
    clear_staging(out)
    weights = source.weights_path
    for head in source.heads:
        target = out / head.name
        # Checked again: another process may have done the work while this one waited.
        if not _is_current(source, head, target):
            _write_model(source, head, weights, target)
        # Where links to the checkpoint cannot be made, one copy serves all models.
        weights = target / VERSION / WEIGHTS_FILE
    names = [head.name for head in source.heads]
    write_file(out / _WRITTEN_FILE, (json.dumps(names, indent=1) + "\n").encode())


def _is_current(source: Checkpoint, head: HeadSpec, target: Path) -> bool:
    """Whether a model is what ``_write_model`` would write."""
    try:
        wanted = (source.model_directory(head) / PASSPORT_FILE).read_bytes()
        if (target / VERSION / PASSPORT_FILE).read_bytes() != wanted:
            return False
        if (target / CONFIG_FILE).read_text("utf-8") != model_config(head):
            return False
        verify_passport(target / VERSION)
    except (OSError, ValueError, PassportError):
        return False
    return True


def _write_model(source: Checkpoint, head: HeadSpec, weights: Path, target: Path) -> None:
    exported = source.model_directory(head)
    with replacing_directory(target) as staging:
        (staging / CONFIG_FILE).write_text(model_config(head), "utf-8")
        version = staging / VERSION
        version.mkdir()
        for name in (GRAPH_FILE, PASSPORT_FILE):
            shutil.copyfile(exported / name, version / name)
        link_or_copy(weights, version / WEIGHTS_FILE)
        verify_passport(version)


def _gone(source: Checkpoint, out: Path) -> list[str]:
    """Models an earlier run wrote here whose heads the checkpoint no longer has."""
    try:
        names = json.loads((out / _WRITTEN_FILE).read_bytes())
    except (OSError, ValueError):
        return []
    kept = {head.name for head in source.heads}
    names = names if isinstance(names, list) else []
    return [n for n in names if isinstance(n, str) and _MODEL_NAME.fullmatch(n) and n not in kept]
