"""``webdataset``: tar shards in WebDataset's form, of which only the sampled entries are read.

::

    <path>/000000.tar            0001.jpg  0001.cls  0002.jpg  0002.cls  ...
    <path>/train/000000.tar      parts, in any usual spelling
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnivec2.errors import ArtifactError
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.part_names import part_folders
from omnivec2.training.data.shards import Shards, read_shards


@dataclass(frozen=True)
class ShardEntry:
    """The data of one sample of a tar file."""

    shards: Shards
    index: int

    def read(self) -> bytes:
        """Return the bytes of the entry."""
        return self.shards.read(self.index)

    def __str__(self) -> str:
        changed = self.shards.paths[self.shards.shard[self.index]].stat().st_mtime_ns
        return f"{self.shards.place(self.index)} ({self.shards.size[self.index]}, {changed})"


class WebDatasetBlock(Block):
    """Tar files whose entries are inputs and their classes (``.cls``)."""

    kind: Literal["webdataset"] = "webdataset"
    labelled: bool = True

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the samples of all shards, in the order of their names."""
        for part, folder in self.paths(files):
            parts = part_folders(folder) if part is None and folder.is_dir() else {}
            for own_part, root in parts.items() or ((part, folder),):
                try:
                    shards = read_shards(root, labelled=self.labelled)
                except ArtifactError as error:
                    reason = str(error).removeprefix(f"{root}")
                    origin = Origin(files.name(root))
                    yield Problem(ProblemKind.UNREADABLE_FILE, origin, reason)
                    continue
                yield from self._entries(files, root, shards, own_part)

    def _entries(
        self, files: BlockFiles, root: Path, shards: Shards, part: str | None
    ) -> Iterator[Example | Problem]:
        if not len(shards):
            yield Problem(
                ProblemKind.EMPTY, Origin(files.name(root)), "there are no samples in .tar files"
            )
        numbers = [0] * len(shards.paths)
        for index in range(len(shards)):
            shard = int(shards.shard[index])
            numbers[shard] += 1
            path = shards.paths[shard]
            origin = Origin(files.name(path), numbers[shard], "sample")
            label = shards.classes[index] if shards.classes else ""
            columns = self.columns_of_name(path.name)
            yield Example(ShardEntry(shards, index), label, origin, part, columns)
