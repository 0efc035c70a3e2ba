"""Directories and files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_STAGING, RETIRED_PREFIX = ".staging-", ".retired-"
_GRACE_SECONDS = 0.2


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file beside its place and rename it there.

    Args:
        path: of the file.
        data: all of it.
        mode: its permissions; by default servers of other users can read it.

    Raises:
        OSError: the directory is missing, read-only or full; the old file is untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_STAGING}{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory beside ``target`` that takes its place on success.

    A process killed inside leaves the old directory as it was. One killed between the
    two renames leaves the old one beside it; ``recover_directory`` puts it back.

    Raises:
        OSError: the parent directory is missing, read-only or full.
    """
    recover_directory(target)
    with staging_directory(target.parent, target.name) as staging:
        yield staging
        replace_directory(staging, target)


@contextlib.contextmanager
def staging_directory(parent: Path, name: str = "") -> Iterator[Path]:
    """Yield an empty directory to write in, on the disk of ``parent``; removed at the end."""
    staging = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_STAGING}{name}-"))
    try:
        staging.chmod(0o755)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def replace_directory(source: Path, target: Path) -> None:
    """Move a directory to the place of another, which is removed.

    Raises:
        OSError: they are not on one disk, or a parent is read-only.
    """
    retired = target.with_name(f"{RETIRED_PREFIX}{target.name}")
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        os.replace(target, retired)
    os.replace(source, target)
    shutil.rmtree(retired, ignore_errors=True)


def recover_directory(target: Path) -> None:
    """Put a directory back whose replacement was killed between its two renames.

    Raises:
        OSError: the parent directory is read-only.
    """
    retired = target.with_name(f"{RETIRED_PREFIX}{target.name}")
    if target.exists() or not retired.exists():
        return
    time.sleep(_GRACE_SECONDS)  # a living writer is between the renames for microseconds
    if not target.exists() and retired.exists():
        os.replace(retired, target)


def clear_staging(directory: Path) -> None:
    """Remove what killed processes left; only for one who knows that none is at work."""
    for left in directory.glob(f"{_STAGING}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where links cannot be made (another disk, another owner).

    Raises:
        OSError: the source is missing, or the target exists or cannot be written.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Make a directory like another, of links to its files, or of copies of them.

    Raises:
        OSError: the source is missing, or the target exists or cannot be written.
    """
    target.mkdir()
    for entry in source.iterdir():
        if entry.is_dir():
            link_tree(entry, target / entry.name)
        else:
            link_or_copy(entry, target / entry.name)
