"""Samples in tar files, as WebDataset writes them: found once, then read one at a time.

::

    <part>/000000.tar    0001.jpg  0001.cls  0002.jpg  0002.cls  ...

Members of one sample follow each other and share a name up to its first dot; ``cls`` holds the
class, as a number or a name. Only where they lie is kept in memory, 20 bytes a sample: a set may
be far larger than memory, and any sample can be drawn, which is what lets a run resume exactly.

The form: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array

_CLASS = "cls"
_MOST_CLASS_BYTES = 1024


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


def read_shards(folder: Path, *, labelled: bool) -> Shards:
    """Look through the headers of all tar files of a folder, in the order of their names.

    Raises:
        ArtifactError: a file is damaged or compressed, or a sample lacks its data or its class.
    """
    paths = tuple(sorted(folder.glob("*.tar")))
    shard: list[int] = []
    start: list[int] = []
    size: list[int] = []
    classes: list[str] = []
    for number, path in enumerate(paths):
        try:
            for sample in _samples(path, labelled=labelled):
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

    def check(self, path: Path, *, labelled: bool) -> _Sample:
        """Refuse a sample of which a part is missing."""
        if self.start < 0:
            raise ArtifactError(f"{path}: {self.key} has a class and no data")
        if labelled and not self.label:
            raise ArtifactError(f"{path}: {self.key} has no class: expected {self.key}.{_CLASS}")
        return self


def _samples(path: Path, *, labelled: bool) -> Iterator[_Sample]:
    """Yield the samples of one tar file, in its order; only headers and classes are read."""
    sample: _Sample | None = None
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if not member.isfile():
                continue
            folder, _, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample.check(path, labelled=labelled)
                sample = _Sample(key)
            if extension == _CLASS:
                sample.label = _class_of(tar, member, path)
            elif sample.start < 0:
                sample.start, sample.size = member.offset_data, member.size
            tar.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
    if sample is not None:
        yield sample.check(path, labelled=labelled)


def _class_of(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    file = tar.extractfile(member)
    if file is None or member.size > _MOST_CLASS_BYTES:
        raise ArtifactError(f"{path}: {member.name} is no class: it has {member.size:,} bytes")
    return file.read().decode("utf-8", "replace").strip()
