"""A Triton model repository, assembled from an exported checkpoint.

::

    <out>/<model>/config.pbtxt
    <out>/<head>/head_spec.json  passport.json        what its configuration carries, to read
    <out>/<model>/1/model.onnx  weights.safetensors  passport.json

``export.repository.layouts`` plans the models. Needs neither torch nor onnx: graphs are copied,
the one weights file is hard-linked.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.repository.layouts import Layout, PlannedModel, plan
from export.repository.triton_options import TritonOptions
from omnivec2.atomic_files import (
    RETIRED_PREFIX,
    clear_staging,
    link_or_copy,
    recover_directory,
    replace_directory,
    staging_directory,
    write_file,
)
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
"""The version of every model that is assembled; heads that replace one count on from it."""
DEFAULT_LAYOUT = Layout.SHARED
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
_LOCK_FILE = ".lock"
_WRITTEN_FILE = ".assembled.json"
_LOCK_TIMEOUT_SECONDS = 300.0


def assemble(
    checkpoint: Path,
    out: Path,
    layout: Layout | None = None,
    options: TritonOptions | None = None,
) -> list[Path]:
    """Update a model repository from a checkpoint.

    Models that are up to date stay as they are, those that the checkpoint or the layout no
    longer has are removed, and directories of other origin are not touched; nor are heads that
    ``rollout.change_heads`` added or removed. New models are written beside the repository's and
    then moved into place, each after those it needs, so that a server never sees a model in
    part. Several processes may call this at once: one works, the others wait.

    Args:
        checkpoint: The directory of an exported checkpoint.
        out: The repository; it is made if need be, and may be read-only if it is up to date.
        layout: The layout; None keeps the repository's, or makes it shared.
        options: The backend and batching in Triton; None keeps the repository's, or takes the
            default.

    Returns:
        The model directories, each after those it needs.

    Raises:
        CheckpointError: The checkpoint is incomplete or altered.
        PassportError: A head is not exported, or its graph is of other weights.
        ArtifactError: Another process holds the repository for minutes, or it cannot
            be written.
    """
    source = read_exported_checkpoint(checkpoint)
    record = read_record(out)
    chosen = layout or record.layout or DEFAULT_LAYOUT
    if record.added and record.layout not in (None, chosen):
        raise ArtifactError(
            f"{out}: holds heads that were added to it in the {record.layout} layout "
            f"({', '.join(record.added)}); choose another directory for the {chosen} one"
        )
    if (record.engine, record.precision) != ("onnx", "fp32"):
        return _converted(source, out, record, chosen)
    triton = options or record.triton
    if record.added and triton.backend != record.triton.backend:
        raise ArtifactError(
            f"{out}: holds heads that were added to it for {record.triton.backend} "
            f"({', '.join(record.added)}); choose another directory for {triton.backend}"
        )
    planned = plan(source, chosen, options=triton)
    models = [model for model in planned if model.name not in record.kept]
    paths = [out / model.name for model in models]
    obsolete = _obsolete(record, models)
    unchanged = (record.layout, record.triton) == (chosen, triton) and not obsolete
    if unchanged and all(_is_current(m, out) for m in models):
        return paths
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            write_repository(models, out, layout=chosen, options=triton)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
    return paths


def _converted(source: ExportedCheckpoint, out: Path, record: Record, layout: Layout) -> list[Path]:
    """Check a repository that ``export.repository.conversion`` wrote, and list its models.

    Raises:
        ArtifactError: The repository was built from other weights, or in another layout.
    """
    heads = [out / head.name for head in source.heads]
    passports = [load_passport(path / VERSION / PASSPORT_FILE) for path in heads]
    digests = {passport.checkpoint_digest for passport in passports}
    if digests != {source.checkpoint.digest} or record.layout != layout:
        raise ArtifactError(
            f"{out}: was built for {record.engine} in {record.precision} from other weights or "
            "in another layout; run `omnivec2 export` with the same options again"
        )
    return [out / name for name in record.models]


def write_repository(
    models: Sequence[PlannedModel],
    out: Path,
    *,
    layout: Layout,
    engine: Engine = "onnx",
    precision: Precision = "fp32",
    options: TritonOptions | None = None,
) -> None:
    """Write the models that are not up to date, and remove those of earlier calls.

    Args:
        models: The models, each after those it needs.
        out: The repository, locked.
        layout: The layout, for the record, as are engine and precision.
        engine: The engine of all models.
        precision: The precision of all models.
        options: The backend and batching in Triton.
    """
    # Checked again: another process may have done the work while this one waited.
    outdated = [model for model in models if not _is_current(model, out)]
    with staging_directory(out) as staging:
        links: dict[Path, Path] = {}
        for model in outdated:
            write_model(model, staging / model.name, links)
        for name in _obsolete(read_record(out), models):
            shutil.rmtree(out / name, ignore_errors=True)
        for model in outdated:
            replace_directory(staging / model.name, out / model.name)
    names = tuple(model.name for model in models)
    changes = {
        "layout": layout,
        "engine": engine,
        "precision": precision,
        "triton": options or TritonOptions(),
        "models": names,
    }
    write_record(out, read_record(out).model_copy(update=changes))


def _obsolete(record: Record, models: Sequence[PlannedModel]) -> set[str]:
    """Return the models that an earlier call wrote and that are no longer planned."""
    return set(record.models) - {model.name for model in models} - record.kept


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock a repository for writing, and clean up after processes that were killed.

    Raises:
        ArtifactError: Another process holds the lock for minutes.
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
        texts = {CONFIG_FILE: model.config, **model.side_files}
        if any((target / name).read_text("utf-8") != text for name, text in texts.items()):
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
        model: The model to write.
        target: The directory of the model.
        links: A map from files of the checkpoint to the copies that were made before, for other
            disks than the checkpoint's; it is added to.
        version: The version, which names the version directory.

    Raises:
        PassportError: A file of the checkpoint is not the one its passport was written for.
    """
    directory = target / str(version)
    directory.mkdir(parents=True)
    for name, text in {CONFIG_FILE: model.config, **model.side_files}.items():
        (target / name).write_text(text, "utf-8")
    for name, file in model.files.items():
        if name == WEIGHTS_FILE:
            link_or_copy(links.get(file, file), directory / name)
            links[file] = directory / name
        else:
            shutil.copyfile(file, directory / name)
    verify_passport(directory)


class Record(BaseModel):
    """The record of what was written into a repository; empty if that cannot be read.

    Attributes:
        layout: The layout of everything in it.
        engine: The engine that runs it.
        precision: The precision it computes in.
        triton: The backend and batching in Triton.
        models: The models that ``assemble`` wrote.
        added: The heads and parts that were added, or replaced others, one at a time.
        removed: The heads of the checkpoint that were removed.
    """

    layout: Layout | None = None
    engine: Engine = "onnx"
    precision: Precision = "fp32"
    triton: TritonOptions = TritonOptions()
    models: tuple[Name, ...] = ()
    added: tuple[Name, ...] = ()
    removed: tuple[Name, ...] = ()

    @property
    def kept(self) -> frozenset[str]:
        """The names that ``assemble`` leaves as they are."""
        return frozenset(self.added) | frozenset(self.removed)


def read_record(out: Path) -> Record:
    """Read the record of a repository."""
    try:
        return Record.model_validate_json((out / _WRITTEN_FILE).read_bytes())
    except (OSError, ValidationError):
        return Record()


def write_record(out: Path, record: Record) -> None:
    """Replace the record of a repository."""
    write_file(out / _WRITTEN_FILE, (record.model_dump_json(indent=1) + "\n").encode())
