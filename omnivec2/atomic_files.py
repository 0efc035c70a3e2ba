"""Files and directories that are written and replaced as a whole or not at all."""

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
    """Write a temporary file in the same directory and rename it.

    Args:
        path: The path of the file.
        data: The whole content.
        mode: The permissions; by default servers of other users can read it.

    Raises:
        OSError: The directory is missing, read-only or full; the old file is untouched.
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
    """Yield an empty directory beside ``target`` that replaces it on success.

    A process killed inside leaves the old directory as it was. One killed between the
    two renames leaves the old one beside it; ``recover_directory`` puts it back.

    Raises:
        OSError: The parent directory is missing, read-only or full.
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
    """Move a directory to the path of another, which is removed.

    Raises:
        OSError: They are not on one disk, or a parent is read-only.
    """
    retired = target.with_name(f"{RETIRED_PREFIX}{target.name}")
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        os.replace(target, retired)
    os.replace(source, target)
    shutil.rmtree(retired, ignore_errors=True)


def recover_directory(target: Path) -> None:
    """Restore a directory whose replacement was killed between its two renames.

    Raises:
        OSError: The parent directory is read-only.
    """
    retired = target.with_name(f"{RETIRED_PREFIX}{target.name}")
    if target.exists() or not retired.exists():
        return
    time.sleep(_GRACE_SECONDS)  # a writer that runs is between the renames for microseconds
    if not target.exists() and retired.exists():
        os.replace(retired, target)


def clear_staging(directory: Path) -> None:
    """Remove what killed processes left; the caller must know that no other one is writing."""
    for left in directory.glob(f"{_STAGING}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file, or copy it where hard links cannot be made (another disk, another owner).

    Raises:
        OSError: The source is missing, or the target exists or cannot be written.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Copy a directory by linking its files; where links cannot be made, files are copied.

    Raises:
        OSError: The source is missing, or the target exists or cannot be written.
    """
    target.mkdir()
    for entry in source.iterdir():
        if entry.is_dir():
            link_tree(entry, target / entry.name)
        else:
            link_or_copy(entry, target / entry.name)
