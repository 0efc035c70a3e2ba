"""Digests of files; each file on the disk is read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_digests: dict[tuple[int, int, int, int], str] = {}
# One weights file is hard-linked into every model of a repository: the key is the file
# on the disk, not its path.


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, in hex; it is cached while size and time of change stay.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in _digests:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return _digests[key]
