"""A Triton model repository, assembled from an exported checkpoint.

::

    <out>/<model>/config.pbtxt
    <out>/<model>/1/model.onnx  weights.safetensors  passport.json

``export.repository.layouts`` says which models there are. Needs neither torch nor onnx:
it copies graphs and hard-links the one weights file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from export.repository.layouts import Layout, PlannedModel, plan
from omnivec2.atomic_files import (
    RETIRED_PREFIX,
    clear_staging,
    link_or_copy,
    recover_directory,
    replace_directory,
    staging_directory,
    write_file,
)
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ArtifactError, PassportError
from omnivec2.model_config import CONFIG_FILE
from omnivec2.passport import (
    PASSPORT_FILE,
    WEIGHTS_FILE,
    Engine,
    Precision,
    load_passport,
    verify_passport,
)

VERSION = "1"
"""Of every model that is assembled; heads that take their place count on from it."""
DEFAULT_LAYOUT = Layout.SHARED
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
_LOCK_FILE = ".lock"
_WRITTEN_FILE = ".assembled.json"
_LOCK_TIMEOUT_SECONDS = 300.0


def assemble(checkpoint: Path, out: Path, layout: Layout | None = None) -> list[Path]:
    """Bring a model repository up to date with a checkpoint.

    Models that are up to date are left alone, those that the checkpoint or the layout no
    longer has are removed, and directories somebody else put there are not touched; nor are
    heads that ``rollout.change_heads`` put there or took away. All that is new is written beside
    and then moved into place, models after those they need, so that a server never sees half
    of it. Several processes may call this at once: one works, the others wait.

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
    written = read_record(out)
    chosen = layout or written.layout or DEFAULT_LAYOUT
    if written.added and written.layout not in (None, chosen):
        raise ArtifactError(
            f"{out}: holds heads that were added to it in the {written.layout} layout "
            f"({', '.join(written.added)}); choose another directory for the {chosen} one"
        )
    if (written.engine, written.precision) != ("onnx", "fp32"):
        return _built(source, out, written, chosen)
    models = [model for model in plan(source, chosen) if model.name not in written.kept]
    paths = [out / model.name for model in models]
    gone = _gone(written, models)
    if written.layout == chosen and not gone and all(_is_current(m, out) for m in models):
        return paths
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            write_repository(models, out, layout=chosen)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
    return paths


def _built(source: Checkpoint, out: Path, written: Record, layout: Layout) -> list[Path]:
    """Check a repository that ``export.repository.conversion`` wrote, and list its models.

    Raises:
        ArtifactError: it was built from other weights, or in another layout.
    """
    heads = [out / head.name for head in source.heads]
    passports = [load_passport(path / VERSION / PASSPORT_FILE) for path in heads]
    digests = {passport.checkpoint_digest for passport in passports}
    if digests != {source.digest} or written.layout != layout:
        raise ArtifactError(
            f"{out}: was built for {written.engine} in {written.precision} from other weights or "
            "in another layout; run `omnivec2 export` with the same options again"
        )
    return [out / name for name in written.models]


def write_repository(
    models: Sequence[PlannedModel],
    out: Path,
    *,
    layout: Layout,
    engine: Engine = "onnx",
    precision: Precision = "fp32",
) -> None:
    """Write what is not there yet, remove what earlier calls wrote and is no longer asked for.

    Args:
        models: each after those it needs.
        out: the repository, locked.
        layout: for the record, as are engine and precision.
        engine: of all models.
        precision: of all models.
    """
    # Checked again: another process may have done the work while this one waited.
    outdated = [model for model in models if not _is_current(model, out)]
    with staging_directory(out) as staging:
        links: dict[Path, Path] = {}
        for model in outdated:
            write_model(model, staging / model.name, links)
        for name in _gone(read_record(out), models):
            shutil.rmtree(out / name, ignore_errors=True)
        for model in outdated:
            replace_directory(staging / model.name, out / model.name)
    names = tuple(model.name for model in models)
    how = {"layout": layout, "engine": engine, "precision": precision}
    write_record(out, read_record(out).model_copy(update={**how, "models": names}))


def _gone(record: Record, models: Sequence[PlannedModel]) -> set[str]:
    """What an earlier call wrote and is no longer asked for."""
    return set(record.models) - {model.name for model in models} - record.kept


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Be the only process that writes a repository; what a killed one left is cleared away.

    Raises:
        ArtifactError: another process holds it for minutes.
    """
    try:
        with FileLock(out / _LOCK_FILE, timeout=_LOCK_TIMEOUT_SECONDS):
            for left in out.glob(f"{RETIRED_PREFIX}*"):
                recover_directory(out / left.name.removeprefix(RETIRED_PREFIX))
            clear_staging(out)
            yield
    except Timeout as error:
        raise ArtifactError(
            f"{out}: another process has been writing it for {_LOCK_TIMEOUT_SECONDS:.0f} seconds"
        ) from error


def _is_current(model: PlannedModel, out: Path) -> bool:
    """Whether a model is what ``write_model`` would write."""
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


def write_model(
    model: PlannedModel, target: Path, links: dict[Path, Path], version: int = 1
) -> None:
    """Write one model; a file that several models have is on the disk once if possible.

    Args:
        model: what to write.
        target: its directory.
        links: file -> where it was put before, for disks that the checkpoint is not on.
        version: name of its version directory.

    Raises:
        PassportError: a file of the checkpoint is not the one its passport was written for.
    """
    directory = target / str(version)
    directory.mkdir(parents=True)
    (target / CONFIG_FILE).write_text(model.config, "utf-8")
    for name, file in model.files.items():
        if name == WEIGHTS_FILE:
            link_or_copy(links.get(file, file), directory / name)
            links[file] = directory / name
        else:
            shutil.copyfile(file, directory / name)
    verify_passport(directory)


class Record(BaseModel):
    """What was written into a repository; nothing if that cannot be read.

    Attributes:
        layout: of everything in it, as are engine and precision.
        engine: what runs it.
        precision: it computes in.
        models: what ``assemble`` wrote.
        added: heads and parts that were put in, or put in the place of others, by themselves.
        removed: heads of the checkpoint that were taken out.
    """

    layout: Layout | None = None
    engine: Engine = "onnx"
    precision: Precision = "fp32"
    models: tuple[Name, ...] = ()
    added: tuple[Name, ...] = ()
    removed: tuple[Name, ...] = ()

    @property
    def kept(self) -> frozenset[str]:
        """Names that ``assemble`` leaves as they are."""
        return frozenset(self.added) | frozenset(self.removed)


def read_record(out: Path) -> Record:
    """The record of a repository."""
    try:
        return Record.model_validate_json((out / _WRITTEN_FILE).read_bytes())
    except (OSError, ValidationError):
        return Record()


def write_record(out: Path, record: Record) -> None:
    """Replace the record of a repository."""
    write_file(out / _WRITTEN_FILE, (record.model_dump_json(indent=1) + "\n").encode())
