"""Small checkpoints to push and pull, and a store that breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnivec2.checkpoint import write_checkpoint
from omnivec2.sharing.manifest import SharedFile
from omnivec2.sharing.stores.base import StoreError
from omnivec2.sharing.stores.directory import DirectoryStore
from tests.support.model_repositories.tiny_models import tiny_heads

WEIGHTS = "weights.safetensors"


def small_checkpoint(directory: Path, seed: int = 0, rows: int = 400) -> Path:
    """Write a checkpoint of two heads whose weights are random numbers."""
    rng = np.random.default_rng(seed)
    write_checkpoint(
        directory,
        config={"preset": "tiny"},
        tensors={"table": rng.normal(size=(rows, 100)), "bias": rng.normal(size=100)},
        heads=[
            head for head in tiny_heads() if head.route in ("image/detection", "text/sentiment")
        ],
    )
    (directory / "models" / "text_sentiment" / "model.onnx").write_bytes(b"a graph")
    return directory


def same_files(first: Path, second: Path) -> bool:
    """Whether the files of a checkpoint lie unchanged in another directory."""
    names = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def ignore_progress(file: SharedFile, count: int) -> None:
    """Show nothing."""


class BreakingStore(DirectoryStore):
    """A directory whose weights arrive in small pieces, until the connection breaks.

    Attributes:
        breaks_after: The number of pieces of the weights until it breaks; None if it holds.
        offsets: The bytes at which streams of the weights began.
    """

    def __init__(self, directory: Path, breaks_after: int | None) -> None:
        super().__init__(directory)
        self._folder = directory
        self.breaks_after = breaks_after
        self.offsets: list[int] = []

    def stream(self, file: SharedFile, offset: int) -> Iterator[bytes]:
        """Yield pieces of 1,000 bytes."""
        if file.path != WEIGHTS:
            yield from super().stream(file, offset)
            return
        self.offsets.append(offset)
        data = (self._folder / file.path).read_bytes()[offset:]
        for count, start in enumerate(range(0, len(data), 1000)):
            if count == self.breaks_after:
                raise StoreError("the connection broke")
            yield data[start : start + 1000]
