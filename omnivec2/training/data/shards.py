"""Samples in tar files, as WebDataset writes them: found once, then read one at a time.

::

    <part>/000000.tar    0001.jpg  0001.cls  0002.jpg  0002.cls  ...

Members of one sample follow each other and share a name up to its first dot; ``cls`` holds the
class, as a number or a name, unless the block names another entry or a field of the JSON entry.
Only where they lie is kept in memory, 20 bytes a sample: a set may be far larger than memory, and
any sample can be drawn, which is what lets a run resume exactly.

The form: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array

_CLASS = "cls"
_MOST_CLASS_BYTES = 1024
_MOST_JSON_BYTES = 2**20

_COMPANIONS = frozenset({"json", "txt", "caption", "id", "index", "__key__"})
"""Entries beside the data of a sample, which are data only where there is no other entry."""


@dataclass(frozen=True)
class Shards:
    """The places of the samples in some tar files.

    Attributes:
        paths: The tar files.
        shard: The index of each sample's file in ``paths``, int32 [n].
        start: The first byte of each sample's data, int64 [n].
        size: The number of bytes of each sample's data, int64 [n].
        classes: The text of every sample's class; empty if there are none.
    """

    paths: tuple[Path, ...]
    shard: Array
    start: Array
    size: Array
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.shard)

    def read(self, index: int) -> bytes:
        """Read the data of one sample.

        Raises:
            ArtifactError: The tar file has become shorter.
        """
        size = int(self.size[index])
        with self.paths[self.shard[index]].open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, int(self.start[index]))
        if len(data) != size:
            raise ArtifactError(f"{self.place(index)}: the file ends within it")
        return data

    def place(self, index: int) -> str:
        """Return a sample's place, for messages."""
        return f"{self.paths[self.shard[index]]} at byte {self.start[index]:,}"


def read_shards(
    folder: Path,
    *,
    labelled: bool,
    label: str = _CLASS,
    paths: Sequence[Path] | None = None,
) -> Shards:
    """Look through the headers of all tar files of a folder, in the order of their names.

    Args:
        folder: The folder.
        labelled: Whether samples have classes.
        label: The ending of the entry with the class, or of a JSON entry and a field in it, such
            as ``json.label``.
        paths: The tar files; all of the folder unless given.

    Raises:
        ArtifactError: a file is damaged or compressed, or a sample lacks its data or its class.
    """
    paths = tuple(sorted(folder.glob("*.tar")) if paths is None else paths)
    if not paths and any([*folder.glob("*.tar.gz"), *folder.glob("*.tgz")]):
        raise ArtifactError(
            f"{folder}: the shards are compressed, so that single samples cannot be read; "
            "unpack them with gunzip"
        )
    shard: list[int] = []
    start: list[int] = []
    size: list[int] = []
    classes: list[str] = []
    for number, path in enumerate(paths):
        try:
            for sample in _samples(path, label if labelled else None):
                shard.append(number)
                start.append(sample.start)
                size.append(sample.size)
                if labelled:
                    classes.append(sample.label)
        except (tarfile.TarError, OSError) as error:
            raise ArtifactError(f"{path}: expected an uncompressed tar file: {error}") from error
    return Shards(
        paths,
        np.array(shard, dtype=np.int32),
        np.array(start, dtype=np.int64),
        np.array(size, dtype=np.int64),
        tuple(classes),
    )


@dataclass
class _Sample:
    key: str
    start: int = -1
    size: int = 0
    label: str = ""
    data: str = ""
    entries: list[str] = field(default_factory=list)

    def check(self, path: Path, label: str | None) -> _Sample:
        """Refuse a sample of which a part is missing."""
        if self.start < 0:
            raise ArtifactError(f"{path}: {self.key} has a class and no data")
        if label is not None and not self.label:
            raise ArtifactError(
                f"{path}: {self.key} has no class: expected {self.key}.{label}; its entries are "
                f"{', '.join(self.entries)}: name that of the class in `label`, such as txt or "
                "json.label"
            )
        return self


def _samples(path: Path, label: str | None) -> Iterator[_Sample]:
    """Yield the samples of one tar file, in its order; only headers and classes are read."""
    sample: _Sample | None = None
    entry, _, json_field = (label or _CLASS).partition(".")
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            if not member.isfile() or name.startswith("."):
                continue
            stem, _, extension = name.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample.check(path, label)
                sample = _Sample(key)
            sample.entries.append(extension)
            if extension in (entry, _CLASS):
                if extension == entry:
                    sample.label = _class_of(tar, member, path, json_field)
            elif sample.start < 0 or (sample.data in _COMPANIONS and extension not in _COMPANIONS):
                sample.start, sample.size = member.offset_data, member.size
                sample.data = extension
            tar.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
    if sample is not None:
        yield sample.check(path, label)


def _class_of(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, json_field: str) -> str:
    """Return the class that an entry holds: its text, or a field of its JSON object."""
    file = tar.extractfile(member)
    if file is None or member.size > (_MOST_JSON_BYTES if json_field else _MOST_CLASS_BYTES):
        raise ArtifactError(f"{path}: {member.name} is no class: it has {member.size:,} bytes")
    text = file.read().decode("utf-8", "replace").strip()
    if not json_field:
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"{path}: {member.name} is not valid JSON: {error}") from error
    found = value.get(json_field) if isinstance(value, dict) else None
    if not isinstance(found, str | int):
        there = ", ".join(value) if isinstance(value, dict) else "no object"
        raise ArtifactError(
            f"{path}: {member.name} has no class in {json_field!r}; there is {there}"
        )
    return str(found)
