"""S3 and what speaks its protocol (MinIO, Ceph, R2), through pyarrow's file system.

Credentials and region are those of the AWS tools: environment variables, profiles, roles. Another
server is named by ``AWS_ENDPOINT_URL``, or in the address:
``s3://bucket/prefix?endpoint_override=host:9000&scheme=http``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from pyarrow import ArrowException, ArrowInvalid, fs

from omnivec2.errors import InvalidInputError
from omnivec2.sharing.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SharedFile
from omnivec2.sharing.outgoing import Outgoing
from omnivec2.sharing.stores.base import CHUNK_BYTES, Progress, StoreError, pieces_of, read_limited

_SENT_FILE = ".sent.json"
"""The manifest of what an unfinished push has sent; the next one goes on from it."""

_NOTE_EVERY_BYTES = 32 * 2**20
_ANY_REGION = "us-east-1"


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
    parsed = urlsplit(address)
    if not parsed.netloc or not parsed.path.strip("/"):
        raise InvalidInputError(f"{address}: expected s3://BUCKET/PREFIX")
    options = dict(parse_qsl(parsed.query))
    if (endpoint := _endpoint()) and "endpoint_override" not in options:
        options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region or "endpoint_override" in options:
        # Else the region of the bucket is looked up, which other servers than Amazon's do not have.
        options.setdefault("region", region or _ANY_REGION)
    try:
        files, root = fs.FileSystem.from_uri(
            urlunsplit(parsed._replace(query=urlencode(options), fragment=""))
        )
    except (ArrowInvalid, ValueError) as error:
        raise InvalidInputError(f"{address}: {error}") from error
    except (OSError, ArrowException) as error:
        raise StoreError(f"{address}: {error}") from error
    return S3Store(files, root, address.partition("?")[0])


def _endpoint() -> SplitResult | None:
    """Return the server that the AWS tools' variables name, if they do."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            parsed = urlsplit(url)
            if parsed.scheme not in ("http", "https") or not parsed.netloc:
                raise InvalidInputError(f"{name}: expected http://… or https://…, got {url!r}")
            return parsed
    return None
