"""The protocol of a place that holds a shared checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from omnivec2.errors import OmniVecError
from omnivec2.sharing.manifest import Manifest, SharedFile, parse_manifest
from omnivec2.sharing.outgoing import Outgoing

CHUNK_BYTES = 2**20

Progress = Callable[[SharedFile, int], None]
"""Called for every piece of a file with the file and the bytes that were moved."""


class StoreError(OmniVecError):
    """A place cannot be reached, or refuses what is asked of it."""


class Store(Protocol):
    """A place that holds a shared checkpoint, or will.

    Attributes:
        address: The address as people write it.
    """

    address: str

    def read_manifest(self) -> Manifest | None:
        """Return the manifest; None if the place holds none.

        Raises:
            StoreError: The place cannot be reached.
            CheckpointError: What it holds is no manifest.
        """

    def stream(self, file: SharedFile, offset: int) -> Iterator[bytes]:
        """Yield the content of a file from an offset on.

        Raises:
            StoreError: The file is missing, or the connection breaks; what was yielded is right.
        """

    def publish(self, outgoing: Outgoing, progress: Progress) -> int:
        """Make the place hold a checkpoint, and return how many files were sent.

        Files that it holds already are not sent again, also after a push that was interrupted.
        Whoever pulls meanwhile gets one version whole, or an error.

        Raises:
            StoreError: The place cannot be reached, or does not allow it.
        """


def read_limited(file: IO[bytes], limit: int, address: str) -> Manifest:
    """Read a manifest of limited size from an open file."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise StoreError(f"{address}: its manifest is larger than {limit:,} bytes")
    return parse_manifest(data, address)


def pieces_of(source: Path | bytes) -> Iterator[bytes]:
    """Yield the content of a file that is sent."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
