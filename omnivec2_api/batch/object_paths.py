"""Objects of buckets with the few methods of ``pathlib.Path`` that the inputs of a batch need."""

from __future__ import annotations

import io
import posixpath
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from omnivec2.errors import InvalidInputError
from omnivec2.sharing.object_storage import (
    SCHEME,
    complete_options,
    is_object_address,
    open_bucket,
    split_address,
)

_READS_AHEAD = 16
"""Objects that are being read at the same time: a bucket answers slowly, but many at once."""

_MISSING = "missing"


@dataclass(frozen=True)
class ObjectPath:
    """An object of a bucket, or a prefix. It may be sent to other processes.

    Attributes:
        bucket: The name of the bucket.
        key: The key of the object.
        options: The options of its address; see ``object_storage.open_bucket``.
    """

    bucket: str
    key: str
    options: str = ""

    @classmethod
    def of(cls, address: str) -> ObjectPath:
        """Return the object of an address.

        Raises:
            InvalidInputError: The address names no bucket.
        """
        bucket, key, options = split_address(address)
        return cls(bucket, key, complete_options(options))

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key)

    @property
    def suffix(self) -> str:
        """The end of the name with its dot, such as ``.csv``."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> ObjectPath:
        """The prefix that holds the object."""
        return ObjectPath(self.bucket, posixpath.dirname(self.key), self.options)

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.bucket, posixpath.join(self.key, name), self.options)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def files(self) -> Any:
        """The file system of pyarrow that ``place`` is a path of."""
        return open_bucket(self.bucket, self.options)

    @property
    def place(self) -> str:
        """The path in the file system."""
        return f"{self.bucket}/{self.key}"

    def open_binary(self) -> Any:
        """Return the object as an open file of bytes.

        Raises:
            OSError: It cannot be read.
        """
        return self.files.open_input_file(self.place)

    def read(self) -> bytes:
        """Return the content.

        Raises:
            InvalidInputError: It cannot be read.
        """
        try:
            with self.open_binary() as file:
                return bytes(file.read())
        except OSError as error:
            raise InvalidInputError(f"{self}: {_reason(error)}", field="inputs") from error

    def is_file(self) -> bool:
        """Whether there is an object of that key.

        Raises:
            InvalidInputError: The bucket cannot be asked.
        """
        return stamps_of([self])[0] != _MISSING


FilePath = Path | ObjectPath
"""A file of this machine, or an object of a bucket."""


def file_path(name: str, folder: FilePath | None = None) -> FilePath:
    """Return the file or object of a name, which may be relative to a folder."""
    if is_object_address(name):
        return ObjectPath.of(name)
    return Path(name) if folder is None else folder / name


def open_bytes(path: FilePath) -> IO[bytes]:
    """Open a file or an object for reading.

    Raises:
        OSError: It cannot be read.
    """
    return path.open("rb") if isinstance(path, Path) else path.open_binary()


def open_text(path: FilePath, newline: str | None = None) -> IO[str]:
    """Open a file or an object in UTF-8, with or without a byte-order mark.

    Raises:
        OSError: It cannot be read.
    """
    if isinstance(path, Path):
        return path.open(encoding="utf-8-sig", newline=newline)
    return io.TextIOWrapper(path.open_binary(), "utf-8-sig", newline=newline)


def stamps_of(paths: Sequence[ObjectPath]) -> list[str]:
    """Return the size and the time of each object, which change when it does.

    Raises:
        InvalidInputError: A bucket cannot be asked.
    """
    if not paths:
        return []
    try:
        infos = paths[0].files.get_file_info([path.place for path in paths])
    except OSError as error:
        raise InvalidInputError(f"{paths[0]}: {_reason(error)}") from error
    return [_stamp(info) if info.is_file else _MISSING for info in infos]


def list_objects(prefix: ObjectPath) -> list[tuple[str, str]]:
    """Return the objects below a prefix: their names relative to it, sorted, and their stamps.

    As with files, names that begin with a dot are left out, and so is all below them.

    Raises:
        InvalidInputError: The bucket cannot be listed.
    """
    from pyarrow import fs

    root = prefix.place.rstrip("/")
    try:
        infos = prefix.files.get_file_info(fs.FileSelector(root, recursive=True))
    except OSError as error:
        raise InvalidInputError(f"{prefix}: {_reason(error)}") from error
    found = [(info.path[len(root) + 1 :], _stamp(info)) for info in infos if info.is_file]
    hidden = [any(part.startswith(".") for part in name.split("/")) for name, _ in found]
    return sorted(entry for entry, is_hidden in zip(found, hidden, strict=True) if not is_hidden)


@dataclass(frozen=True)
class ObjectRead:
    """An object that is being read; like an open file, it has a name and is read once.

    Attributes:
        name: The name of the object.
        content: The future of its content.
    """

    name: str
    content: Future[bytes]

    def read(self) -> bytes:
        """Wait for the content and return it.

        Raises:
            InvalidInputError: It cannot be read.
        """
        return self.content.result()


def read_ahead(values: Iterator[Any]) -> Generator[Any]:
    """Yield inputs in their order, with some of the next objects of buckets already being read."""
    first = list(islice(values, 1))
    values = chain(first, values)
    if not first or not isinstance(first[0], ObjectPath):
        yield from values
        return
    pool = ThreadPoolExecutor(_READS_AHEAD, "omnivec2-objects")

    def start(value: Any) -> Any:
        is_object = isinstance(value, ObjectPath)
        return ObjectRead(value.name, pool.submit(value.read)) if is_object else value

    try:
        waiting = deque(start(value) for value in islice(values, _READS_AHEAD))
        while waiting:
            waiting.extend(start(value) for value in islice(values, 1))
            yield waiting.popleft()
    except GeneratorExit:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=False)


def _stamp(info: Any) -> str:
    return f"{info.size} {info.mtime_ns}"


def _reason(error: OSError) -> str:
    """Return what went wrong in one line; pyarrow's messages name the request as well."""
    return str(error).splitlines()[0]
