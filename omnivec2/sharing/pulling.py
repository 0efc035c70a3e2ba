"""Pushing and pulling: digests are checked, nothing is seen half, and an interrupted one goes on.

::

    push   checkpoint ─ gather ─► files + model card + manifest ─ publish ─► place, manifest last
    pull   place ─ manifest ─► .pull-NAME/ ─ every digest, read_checkpoint ─► rename to NAME
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from omnivec2.atomic_files import link_or_copy, replace_directory
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.digests import file_digest
from omnivec2.errors import CheckpointError
from omnivec2.sharing.manifest import MANIFEST_FILE, Manifest, SharedFile, parse_manifest
from omnivec2.sharing.stores.base import Progress, Store, StoreError

PARTIAL_PREFIX = ".pull-"
"""What a pull writes lies beside its target under this prefix until all of it is there."""


def pull(store: Store, target: Path, progress: Progress) -> tuple[Checkpoint, int]:
    """Pull a checkpoint into a directory, which is replaced only by a whole one.

    Files that the directory holds already, or that an interrupted pull left, are not fetched again.

    Args:
        store: The place.
        target: The directory: not there, or pulled before.
        progress: A callback for every piece.

    Returns:
        The checkpoint and the number of files that were fetched.

    Raises:
        StoreError: The place cannot be reached, holds no checkpoint, or the target is something
            else than a pulled checkpoint.
        CheckpointError: What was pulled is not what its manifest says, or no checkpoint.
    """
    manifest = store.read_manifest()
    if manifest is None:
        raise StoreError(f"{store.address}: holds no {MANIFEST_FILE}: was it pushed by omnivec2?")
    held = _manifest_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL_PREFIX}{target.name}")
    with _locked(target.with_name(f"{PARTIAL_PREFIX}{target.name}.lock"), target):
        partial.mkdir(exist_ok=True)
        _remove_others(partial, manifest)
        count = 0
        for file in manifest.files:
            reusable = held is not None and held.by_path.get(file.path) == file
            count += _bring(store, file, partial, target if reusable else None, progress)
        (partial / MANIFEST_FILE).write_bytes(manifest.to_json())
        _check_weights(partial, manifest)
        read_checkpoint(partial)
        replace_directory(partial, target)
    return read_checkpoint(target), count


def _manifest_of(target: Path) -> Manifest | None:
    """Return the manifest of an earlier pull; None if nothing is there."""
    if not target.exists():
        return None
    try:
        return parse_manifest((target / MANIFEST_FILE).read_bytes(), str(target))
    except FileNotFoundError as error:
        raise StoreError(
            f"{target}: is there already, and was not pulled; name another directory"
        ) from error


def _bring(
    store: Store, file: SharedFile, partial: Path, target: Path | None, progress: Progress
) -> bool:
    """Make a file lie in the partial directory; return whether it was fetched."""
    path = partial / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is(path, file):
        return False
    if target is not None and _is(target / file.path, file):
        path.unlink(missing_ok=True)
        link_or_copy(target / file.path, path)
        return False
    offset = _kept_bytes(path, file)
    if _fetch(store, file, path, offset, progress):
        return True
    # What an earlier pull had left may be of another version: once more, from the start.
    if offset and _fetch(store, file, path, 0, progress):
        return True
    path.unlink()
    raise CheckpointError(
        f"{store.address}: {file.path} is not the file that its manifest lists (sha256 or size "
        "differs): it is damaged, or was changed meanwhile; pull again"
    )


def _kept_bytes(path: Path, file: SharedFile) -> int:
    """Return the bytes of a file that an interrupted pull has left, to go on from."""
    if not path.exists():
        return 0
    status = path.stat()
    # A link to the file of the earlier version must not be written to.
    if status.st_nlink > 1 or status.st_size >= file.bytes:
        path.unlink()
        return 0
    return status.st_size


def _fetch(store: Store, file: SharedFile, path: Path, offset: int, progress: Progress) -> bool:
    """Fetch a file from an offset on; return whether it is the one that is listed then."""
    digest = hashlib.sha256()
    with path.open("r+b" if offset else "wb") as copy:
        if offset:
            digest.update(copy.read(offset))
        size = offset
        for piece in store.stream(file, offset):
            size += len(piece)
            if size > file.bytes:
                return False
            copy.write(piece)
            digest.update(piece)
            progress(file, len(piece))
        copy.truncate()
    if size < file.bytes:
        raise StoreError(
            f"{store.address}: {file.path} ended after {size:,} of {file.bytes:,} bytes; pull "
            "again to go on"
        )
    return digest.hexdigest() == file.sha256


def _is(path: Path, file: SharedFile) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return file_digest(path) == file.sha256


def _remove_others(partial: Path, manifest: Manifest) -> None:
    """Remove what an earlier pull of another version left."""
    listed = manifest.by_path
    for path in partial.rglob("*"):
        inside = path.relative_to(partial).as_posix()
        if path.is_symlink() or (path.is_file() and inside not in listed):
            path.unlink()


def _check_weights(partial: Path, manifest: Manifest) -> None:
    """Refuse files of weights that are no safetensors, whatever their name says.

    Raises:
        CheckpointError: One of them is not.
    """
    for file in manifest.files:
        if not file.path.endswith(".safetensors"):
            continue
        try:
            with safe_open(partial / file.path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file.path}: no whole safetensors file: {error}") from error


@contextmanager
def _locked(path: Path, target: Path) -> Iterator[None]:
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        raise StoreError(f"{target}: another pull is writing it") from error
    path.unlink(missing_ok=True)
