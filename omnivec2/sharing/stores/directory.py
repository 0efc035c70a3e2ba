"""Directories as places: another disk, a share, a folder that something else copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from omnivec2.atomic_files import link_or_copy, replacing_directory
from omnivec2.digests import file_digest
from omnivec2.errors import InvalidInputError
from omnivec2.sharing.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SharedFile
from omnivec2.sharing.outgoing import Outgoing
from omnivec2.sharing.stores.base import CHUNK_BYTES, Progress, StoreError, pieces_of, read_limited


class DirectoryStore:
    """A directory that holds a shared checkpoint.

    Args:
        directory: The directory; it need not be there yet.

    Attributes:
        address: The path.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.address = str(directory)

    def read_manifest(self) -> Manifest | None:
        """Return the manifest; see ``Store.read_manifest``."""
        try:
            with (self._directory / MANIFEST_FILE).open("rb") as file:
                return read_limited(file, MAX_MANIFEST_BYTES, self.address)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.address}: {error.strerror}") from error

    def stream(self, file: SharedFile, offset: int) -> Iterator[bytes]:
        """Yield the content of a file; see ``Store.stream``."""
        try:
            with (self._directory / file.path).open("rb") as source:
                source.seek(offset)
                while piece := source.read(CHUNK_BYTES):
                    yield piece
        except OSError as error:
            raise StoreError(f"{self.address}/{file.path}: {error.strerror}") from error

    def publish(self, outgoing: Outgoing, progress: Progress) -> int:
        """Replace the directory by a checkpoint; see ``Store.publish``.

        Raises:
            StoreError: The directory is there and holds something else, or cannot be written.
        """
        if self._directory.exists() and self.read_manifest() is None:
            raise StoreError(f"{self.address}: is there already, and is no shared checkpoint")
        sent = 0
        try:
            self._directory.parent.mkdir(parents=True, exist_ok=True)
            with replacing_directory(self._directory) as staging:
                for file in outgoing.manifest.files:
                    target = staging / file.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    held = self._directory / file.path
                    if _is(held, file):
                        link_or_copy(held, target)
                        continue
                    with target.open("wb") as copy:
                        for piece in pieces_of(outgoing.sources[file.path]):
                            copy.write(piece)
                            progress(file, len(piece))
                    sent += 1
                (staging / MANIFEST_FILE).write_bytes(outgoing.manifest.to_json())
        except OSError as error:
            raise StoreError(f"{self.address}: {error.strerror}") from error
        return sent


def _is(path: Path, file: SharedFile) -> bool:
    """Whether a path holds a file as it is listed."""
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return file_digest(path) == file.sha256


def open_store(address: str) -> DirectoryStore:
    """Open a directory by its path, or by ``file:///path``."""
    if not address.startswith("file://"):
        return DirectoryStore(Path(address).expanduser())
    parsed = urlparse(address)
    if parsed.netloc not in ("", "localhost"):
        raise InvalidInputError(f"{address}: expected file:///path, of this machine")
    return DirectoryStore(Path(unquote(parsed.path)))
