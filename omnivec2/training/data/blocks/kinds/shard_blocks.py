"""``webdataset``: tar shards in WebDataset's form, of which only the sampled entries are read.

::

    <path>/000000.tar            0001.jpg  0001.cls  0002.jpg  0002.cls  ...
    <path>/train/000000.tar      parts, in any usual spelling,
    <path>/set-train-000000.tar  or in the names of the shards
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from omnivec2.errors import ArtifactError
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.part_names import part_folders, part_of_words
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
    labelled: bool = Field(default=True, description="whether the samples have classes")
    label: str = Field(
        default="cls",
        description="the ending of the entry with the class, such as txt, or a field of the JSON "
        "entry, as json.label",
    )

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the samples of all shards, in the order of their names."""
        for part, folder in self.paths(files):
            for own_part, root, paths in _groups(part, folder):
                try:
                    shards = read_shards(
                        root, labelled=self.labelled, label=self.label, paths=paths
                    )
                except ArtifactError as error:
                    reason = str(error).removeprefix(f"{root}").lstrip("/: ")
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


def _groups(
    part: str | None, folder: Path
) -> Iterator[tuple[str | None, Path, Sequence[Path] | None]]:
    """Yield (part, folder, its shards): of folders of parts, or by the names of the shards."""
    if folder.is_file():
        yield part, folder.parent, [folder]
        return
    if part is not None:
        yield part, folder, None
        return
    if parts := part_folders(folder):
        yield from ((own, root, None) for own, root in parts.items())
        return
    by_part: dict[str | None, list[Path]] = {}
    for path in sorted(folder.glob("*.tar")):
        by_part.setdefault(part_of_words(path.stem), []).append(path)
    if "train" in by_part and None not in by_part:
        yield from ((own, folder, paths) for own, paths in by_part.items())
    else:
        yield None, folder, None
