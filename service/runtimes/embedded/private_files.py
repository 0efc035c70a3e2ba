"""Copies of the files that engines map into memory, which nobody else writes to.

An engine maps weights rather than read them: all processes of a machine share one set of pages,
and the system may drop and reread them. The price is that whoever writes *into* such a file (``cp``
over it, a truncated upload) kills the process with SIGBUS, or changes its answers. So what is
served is mapped from the cache directory::

    <cache>/served/files/<sha256>                    one copy of each file, for all models
    <cache>/served/models/<name>/<digest>/<file>     links to them, as the graph names its weights

A copy is checked against the passport after it is made. On file systems that can (btrfs, XFS) it
shares its blocks with the original.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from omnivec2.digests import file_digest
from omnivec2.errors import PassportError
from omnivec2.passport import GATE_FILE, GRAPH_FILE, INT8_GRAPH_FILE, Passport

_LOG = logging.getLogger(__name__)

_READ_WHOLE = {GRAPH_FILE, INT8_GRAPH_FILE, GATE_FILE}
"""Files that are read and closed; beside them there are weights, which are mapped."""

_FICLONE = 0x40049409
"""The request of ioctl(2) that lets a file share the blocks of another."""

_UNUSED_SECONDS = 30 * 24 * 3600.0
"""The time since a model was last loaded after which its copies are removed."""


class PrivateFiles:
    """The copies of this user.

    Args:
        cache_directory: The directory to keep them in.
    """

    def __init__(self, cache_directory: Path) -> None:
        self._files = cache_directory / "served" / "files"
        self._models = cache_directory / "served" / "models"
        self._failure = ""

    def directory_of(self, version: Path, passport: Passport) -> Path:
        """Return a directory with the graphs and weights of a model that may be mapped.

        Graphs without a file of weights are read as a whole: their own directory is returned. So it
        is, with a warning, where nothing can be written: the disk is full, perhaps.

        Args:
            version: The version directory in the repository; its files are those of the passport.
            passport: The passport of the model.

        Raises:
            PassportError: A file was changed since it was compared with the passport.
        """
        if passport.files.keys() <= _READ_WHOLE:
            return version
        directory = self._models / passport.model / passport.files_digest
        try:
            self._files.mkdir(parents=True, exist_ok=True)
            directory.mkdir(parents=True, exist_ok=True)
            for name, digest in passport.files.items():
                self._link(version / name, digest, directory / name)
            os.utime(directory)
        except OSError as error:
            self._warn(f"{self._models.parent}: {error.strerror or error}")
            return version
        return directory

    def sweep(self) -> None:
        """Remove copies that no model has needed for a month; mapped ones live on unseen."""
        oldest = time.time() - _UNUSED_SECONDS
        with contextlib.suppress(OSError):
            for directory in list(self._models.glob("*/*")):
                if directory.stat().st_mtime < oldest:
                    shutil.rmtree(directory, ignore_errors=True)
            for file in list(self._files.iterdir()):
                stat = file.stat()
                # A link of its own, and the time of the last change of its links.
                if stat.st_nlink == 1 and stat.st_ctime < oldest:
                    file.unlink()

    def _link(self, source: Path, digest: str, target: Path) -> None:
        """Have ``target`` be a checked copy of ``source``.

        Raises:
            OSError: Nothing can be written.
            PassportError: The source is not what its digest says.
        """
        with contextlib.suppress(FileNotFoundError):
            if file_digest(target) == digest:
                return
        copy = self._files / digest
        if not copy.is_file() or file_digest(copy) != digest:
            _copy_checked(source, digest, copy)
        with tempfile.TemporaryDirectory(dir=target.parent) as place:
            link = Path(place) / "link"
            os.link(copy, link)
            link.replace(target)

    def _warn(self, failure: str) -> None:
        if failure != self._failure:
            self._failure = failure
            _LOG.warning(
                "%s; weights are mapped from the repository itself: whoever writes into its files, "
                "rather than replace them, ends this process",
                failure,
            )


def _copy_checked(source: Path, digest: str, target: Path) -> None:
    """Copy a file, check the copy and give it its name.

    Raises:
        OSError: Nothing can be written.
        PassportError: The source was changed meanwhile.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".copy-")
    copy = Path(name)
    try:
        with source.open("rb") as original, os.fdopen(handle, "wb") as written:
            try:
                fcntl.ioctl(written, _FICLONE, original.fileno())
            except OSError:
                shutil.copyfileobj(original, written, 2**20)
            # Nobody writes to it by accident.
            os.fchmod(written.fileno(), 0o444)
        if file_digest(copy) != digest:
            raise PassportError(f"{source} is not the file its passport was written for")
        copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)
