"""The list of a shared checkpoint's files with their digests: ``manifest.json``.

It decides what a pull writes, so that a stranger's manifest is read as input is: names that would
leave the directory, and kinds of files that a checkpoint does not have, are refused before anything
is fetched. Nothing that is listed is ever unpickled or run.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from omnivec2.digests import file_digest
from omnivec2.errors import CheckpointError

MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"

MAX_MANIFEST_BYTES = 8 * 2**20
_MAX_FILES = 20_000
_MAX_DEPTH = 5
_MAX_NAME = 200

SUFFIXES = frozenset(
    {".json", ".md", ".npz", ".onnx", ".png", ".safetensors", ".svg", ".txt", ".yaml"}
)
"""The kinds of files of a checkpoint; arrays in npz are read without pickle."""

# No hidden files, no "..", no drive, no backslash, nothing that a shell or Windows reads otherwise.
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?<!\.)")


class SharedFile(BaseModel):
    """One file of a shared checkpoint.

    Attributes:
        path: The path below the checkpoint's directory, with ``/``.
        bytes: The size.
        sha256: The digest, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if reason := refusal_of(path):
            raise ValueError(reason)
        return path


class Manifest(BaseModel):
    """The files of a shared checkpoint, each once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    files: Annotated[tuple[SharedFile, ...], Field(min_length=1, max_length=_MAX_FILES)]

    @field_validator("files")
    @classmethod
    def _once(cls, files: tuple[SharedFile, ...]) -> tuple[SharedFile, ...]:
        # Some file systems do not tell capitals from small letters.
        names = [file.path.lower() for file in files]
        if len(set(names)) < len(names):
            raise ValueError("a file is listed twice")
        folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
        if folders.intersection(names):
            raise ValueError("a file is listed as a folder, too")
        return files

    @property
    def by_path(self) -> dict[str, SharedFile]:
        """Path -> file."""
        return {file.path: file for file in self.files}

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> bytes:
        """Return the manifest as it is written."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def refusal_of(path: str) -> str:
    """Return the reason why a checkpoint has no file of this path; empty if it may have one."""
    parts = path.split("/")
    if len(path) > _MAX_NAME or len(parts) > _MAX_DEPTH:
        return f"{path[:80]!r} is too long a path"
    if not all(_PART.fullmatch(part) for part in parts):
        return f"{path[:80]!r} is no path inside of a checkpoint"
    if PurePosixPath(path).suffix.lower() not in SUFFIXES:
        return f"{path[:80]!r} is none of {', '.join(sorted(SUFFIXES))}, which a checkpoint has"
    if path == MANIFEST_FILE:
        return "a manifest does not list itself"
    return ""


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Read a manifest.

    Args:
        data: Its JSON.
        source: The place that it comes from, for messages.

    Raises:
        CheckpointError: It is no manifest, or names what a checkpoint does not have.
    """
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(f"{source}: {MANIFEST_FILE}: {where}: {first['msg']}") from error


def describe_file(path: str, file: Path) -> SharedFile:
    """Return the entry of a file on the disk.

    Raises:
        OSError: It is missing or cannot be read.
    """
    return SharedFile(path=path, bytes=file.stat().st_size, sha256=file_digest(file))
