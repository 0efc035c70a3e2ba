"""Where a table of answers is written, with the parts of an unfinished run beside it.

::

    photos.parquet.parts/part-<digest>.parquet   the rows of some inputs, from any run
                         part-<digest>.json      how many they are
    photos.parquet                               all of them, when all are there
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from omnivec2.errors import OmniVecError
from omnivec2.sharing.object_storage import is_object_address
from omnivec2_api.batch.object_paths import ObjectPath

Write = Callable[[IO[bytes]], None]
"""Writes a file's content."""

_LOCK = ".lock"
_CHUNK_BYTES = 8 * 2**20


class Destination(ABC):
    """The place of one table of answers."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a table of that name."""

    @abstractmethod
    def open(self) -> Any:
        """Return a context in which parts are written; a table that is published ends them.

        Raises:
            OmniVecError: Another run writes the same table, or the place cannot be written.
        """

    @abstractmethod
    def part_names(self) -> frozenset[str]:
        """Return the names of the parts that are there."""

    @abstractmethod
    def write_part(self, name: str, write: Write, counts: Mapping[str, int]) -> None:
        """Write a part with what it counts; it appears as a whole."""

    @abstractmethod
    def read_counts(self, name: str) -> Mapping[str, int]:
        """Return what a part counts."""

    @abstractmethod
    def read_part(self, name: str) -> IO[bytes]:
        """Open a part for reading."""

    @abstractmethod
    def publish(self, write: Write) -> None:
        """Write the table, which appears as a whole."""


class LocalDestination(Destination):
    """A file of this machine; one run at a time writes it.

    Args:
        out: The table.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._parts = out.with_name(f"{out.name}.parts")

    def __str__(self) -> str:
        return str(self._out)

    def exists(self) -> bool:
        """Whether there is a file of that name."""
        return self._out.exists()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the directory of parts and lock it; see ``Destination.open``."""
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            with FileLock(self._parts / _LOCK, timeout=0):
                yield
        except Timeout as error:
            raise OmniVecError(f"{self._parts}: another run is writing this table") from error
        except OSError as error:
            raise OmniVecError(f"{self._out}: cannot be written: {error}") from error
        shutil.rmtree(self._parts, ignore_errors=True)

    def part_names(self) -> frozenset[str]:
        """Return the names of the files that are whole."""
        return frozenset(path.name for path in self._parts.iterdir())

    def write_part(self, name: str, write: Write, counts: Mapping[str, int]) -> None:
        """Write a file under another name, and rename it; see ``Destination.write_part``."""
        staging = self._parts / f".staging-{name}"
        with staging.open("wb") as file:
            write(file)
        (self._parts / _counts_name(name)).write_text(json.dumps(counts))
        os.replace(staging, self._parts / name)

    def read_counts(self, name: str) -> Mapping[str, int]:
        """Return what a part counts."""
        counts: Mapping[str, int] = json.loads((self._parts / _counts_name(name)).read_text())
        return counts

    def read_part(self, name: str) -> IO[bytes]:
        """Open a part for reading."""
        return (self._parts / name).open("rb")

    def publish(self, write: Write) -> None:
        """Write the table under another name, and rename it; see ``Destination.publish``."""
        staging = self._out.with_name(f".staging-{self._out.name}")
        try:
            with staging.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staging, self._out)
        finally:
            staging.unlink(missing_ok=True)


class ObjectDestination(Destination):
    """An object of a bucket, with parts beside it, so that a run can go on on another machine.

    There is no lock: parts are named by what they were made from, so that two runs write the same
    ones. Whichever ends first removes them; the other then has to be started again.

    Args:
        out: The table.
    """

    def __init__(self, out: ObjectPath) -> None:
        self._out, self._files = out, out.files
        self._parts = f"{out.place}.parts"

    def __str__(self) -> str:
        return str(self._out)

    def exists(self) -> bool:
        """Whether there is an object of that name."""
        return self._out.is_file()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Report errors of the bucket, and remove the parts in the end; see ``Destination``."""
        try:
            yield
            self._files.delete_dir(self._parts)
        except OSError as error:
            raise OmniVecError(f"{self._out}: cannot be written: {error}") from error

    def part_names(self) -> frozenset[str]:
        """Return the names of the objects beside the table."""
        from pyarrow import fs

        selector = fs.FileSelector(self._parts, allow_not_found=True)
        return frozenset(info.base_name for info in self._files.get_file_info(selector))

    def write_part(self, name: str, write: Write, counts: Mapping[str, int]) -> None:
        """Make a part in memory and write it, after its counts; see ``Destination.write_part``."""
        content = io.BytesIO()
        write(content)
        self._put(_counts_name(name), json.dumps(counts).encode())
        self._put(name, content.getbuffer())

    def read_counts(self, name: str) -> Mapping[str, int]:
        """Return what a part counts."""
        with self.read_part(_counts_name(name)) as file:
            counts: Mapping[str, int] = json.loads(file.read())
        return counts

    def read_part(self, name: str) -> IO[bytes]:
        """Open a part for reading."""
        file: IO[bytes] = self._files.open_input_file(posixpath.join(self._parts, name))
        return file

    def publish(self, write: Write) -> None:
        """Make the table on this machine and send it; see ``Destination.publish``."""
        with tempfile.TemporaryFile() as whole:
            write(whole)
            whole.seek(0)
            target = self._files.open_output_stream(self._out.place)
            try:
                while piece := whole.read(_CHUNK_BYTES):
                    target.write(piece)
                target.close()
            except BaseException:
                # Closing an upload completes it, and half a table must not look like one.
                if not target.closed:
                    target.close()
                    self._files.delete_file(self._out.place)
                raise

    def _put(self, name: str, content: bytes | memoryview) -> None:
        with self._files.open_output_stream(posixpath.join(self._parts, name)) as target:
            target.write(content)


def destination_of(out: str | Path) -> LocalDestination | ObjectDestination:
    """Return the place of a table: a file, or an object if it begins with ``s3://``.

    Raises:
        InvalidInputError: The address is not understood.
    """
    if isinstance(out, str) and is_object_address(out):
        return ObjectDestination(ObjectPath.of(out))
    return LocalDestination(Path(out))


def _counts_name(part: str) -> str:
    return f"{posixpath.splitext(part)[0]}.json"
