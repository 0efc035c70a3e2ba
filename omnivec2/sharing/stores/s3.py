"""S3 and what speaks its protocol, through pyarrow's file system; see ``object_storage``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyarrow import ArrowException, fs

from omnivec2.errors import InvalidInputError, OmniVecError
from omnivec2.sharing.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SharedFile
from omnivec2.sharing.object_storage import open_bucket, split_address
from omnivec2.sharing.outgoing import Outgoing
from omnivec2.sharing.stores.base import CHUNK_BYTES, Progress, StoreError, pieces_of, read_limited

_SENT_FILE = ".sent.json"
"""The manifest of what an unfinished push has sent; the next one goes on from it."""

_NOTE_EVERY_BYTES = 32 * 2**20


class S3Store:
    """A prefix of a bucket.

    Args:
        files: The file system.
        root: The bucket and the prefix.
        address: The address as it was given.

    Attributes:
        address: The address as it was given.
    """

    def __init__(self, files: Any, root: str, address: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self.address = address

    def read_manifest(self) -> Manifest | None:
        """Return the manifest; see ``Store.read_manifest``."""
        return self._manifest(MANIFEST_FILE)

    def stream(self, file: SharedFile, offset: int) -> Iterator[bytes]:
        """Yield the content of a file; see ``Store.stream``."""
        try:
            with self._files.open_input_file(self._path(file.path)) as source:
                source.seek(min(offset, source.size()))
                while piece := source.read(CHUNK_BYTES):
                    yield piece
        except (OSError, ArrowException) as error:
            raise StoreError(f"{self.address}: {file.path}: {error}") from error

    def publish(self, outgoing: Outgoing, progress: Progress) -> int:
        """Send a checkpoint, its manifest last; see ``Store.publish``."""
        before = self.read_manifest()
        held = {} if before is None else before.by_path
        try:
            sent = self._send(outgoing, held, progress)
            self._write(MANIFEST_FILE, outgoing.manifest.to_json())
            for path in held.keys() - outgoing.manifest.by_path.keys():
                self._files.delete_file(self._path(path))
            if self._exists(_SENT_FILE):
                self._files.delete_file(self._path(_SENT_FILE))
        except (OSError, ArrowException) as error:
            raise StoreError(f"{self.address}: {error}; push again to go on") from error
        return sent

    def _send(self, outgoing: Outgoing, held: Mapping[str, SharedFile], progress: Progress) -> int:
        """Send the files that are not there, and return how many they were."""
        partial = self._manifest(_SENT_FILE)
        done = dict(held) | ({} if partial is None else partial.by_path)
        count = unnoted = 0
        # Small ones first: they say how far a push came soonest.
        for file in sorted(outgoing.manifest.files, key=lambda file: file.bytes):
            if done.get(file.path) == file and self._exists(file.path, file.bytes):
                continue
            # From here on, what was there under this name is gone.
            done.pop(file.path, None)
            with self._files.open_output_stream(self._path(file.path)) as target:
                for piece in pieces_of(outgoing.sources[file.path]):
                    target.write(piece)
                    progress(file, len(piece))
            done[file.path] = file
            count, unnoted = count + 1, unnoted + file.bytes
            if unnoted >= _NOTE_EVERY_BYTES:
                self._write(_SENT_FILE, Manifest(files=tuple(done.values())).to_json())
                unnoted = 0
        return count

    def _manifest(self, name: str) -> Manifest | None:
        try:
            if not self._exists(name):
                return None
            with self._files.open_input_file(self._path(name)) as file:
                return read_limited(file, MAX_MANIFEST_BYTES, self.address)
        except (OSError, ArrowException) as error:
            raise StoreError(f"{self.address}: {error}") from error

    def _exists(self, path: str, nbytes: int | None = None) -> bool:
        info = self._files.get_file_info(self._path(path))
        return info.type == fs.FileType.File and nbytes in (None, info.size)

    def _write(self, path: str, data: bytes) -> None:
        with self._files.open_output_stream(self._path(path)) as target:
            target.write(data)

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"


def open_store(address: str) -> S3Store:
    """Open ``s3://bucket/prefix``.

    Raises:
        InvalidInputError: The address is not understood.
        StoreError: The server cannot be reached.
    """
    bucket, prefix, options = split_address(address)
    if not prefix.strip("/"):
        raise InvalidInputError(f"{address}: expected s3://BUCKET/PREFIX")
    try:
        files = open_bucket(bucket, options)
    except InvalidInputError:
        raise
    except OmniVecError as error:
        raise StoreError(str(error)) from error
    return S3Store(files, f"{bucket}/{prefix}", address.partition("?")[0])
