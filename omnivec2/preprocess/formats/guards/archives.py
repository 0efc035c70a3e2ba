"""ZIP and GZIP files, whose sizes are limits before they are memory.

What a directory declares is only a claim: members are unpacked no further than their limit.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable

ZIP = b"PK\x03\x04"
GZIP = b"\x1f\x8b\x08"

MOST_MEMBERS = 2_000
"""The most members of an archive; a workbook has a few for each sheet."""

_MOST_DIRECTORY_BYTES = MOST_MEMBERS * 256
_END, _END_64, _END_BYTES, _LONGEST_COMMENT = b"PK\x05\x06", b"PK\x06\x07", 22, 2**16
_ENCRYPTED = 1
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpack a GZIP file, whose members may be several.

    Raises:
        TooLargeError: it unpacks to more than ``limit`` bytes.
        UndecodableError: it is damaged or truncated.
    """
    parts: list[bytes] = []
    size = 0
    while data[:2] == GZIP[:2]:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            part = unpacker.decompress(data, limit - size + 1)
        except zlib.error as error:
            raise _damaged("GZIP") from error
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise _damaged("GZIP")
        parts.append(part)
        data = unpacker.unused_data
    return b"".join(parts)


class ZipArchive:
    """The members of a ZIP file.

    Attributes:
        names: The names of the files.
        sizes: The names of the files that people put there -> the sizes that they declare;
            without those that operating systems leave beside files.
    """

    def __init__(self, file: zipfile.ZipFile, limit: int) -> None:
        self._file = file
        self._left = self._limit = limit
        files = [info for info in file.infolist() if not info.is_dir()]
        self.names = [info.filename for info in files]
        self.sizes = {i.filename: i.file_size for i in files if not _is_hidden(i.filename)}

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Unpack a member.

        Args:
            name: The member.
            limit: The most bytes of this member; those of the archive are counted too.

        Raises:
            TooLargeError: this and the members read before are larger than the archive's limit.
            InvalidInputError: it is encrypted.
            UndecodableError: it is damaged, or packed by a rare method.
        """
        most = self._left if limit is None else min(limit, self._left)
        if self._file.getinfo(name).file_size > most:
            raise _too_large(most)
        content = self.beginning(name, most + 1)
        self._left -= len(content)
        if len(content) > most:
            raise _too_large(limit or self._limit)
        return content

    def beginning(self, name: str, count: int) -> bytes:
        """Unpack the first bytes of a member; they do not count.

        Raises:
            InvalidInputError: it is encrypted.
            UndecodableError: it is damaged, or packed by a rare method.
        """
        info = self._file.getinfo(name)
        if info.flag_bits & _ENCRYPTED:
            raise InvalidInputError("the file is encrypted; remove its password", field="inputs")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UndecodableError(
                "unsupported: a ZIP file packed by another method than deflate", field="inputs"
            )
        with undecodable("ZIP", zipfile.BadZipFile), self._file.open(info) as member:
            return member.read(count)


@contextmanager
def open_zip(data: bytes, limit: int, most_members: int = MOST_MEMBERS) -> Iterator[ZipArchive]:
    """Open a ZIP file; its directory is counted before it is read.

    Args:
        data: The file.
        limit: The most bytes that its members may unpack to, all that are read together.
        most_members: The most members that it may have.

    Raises:
        TooLargeError: it has too many members.
        UndecodableError: it is no ZIP file, damaged or truncated.
    """
    _check_directory(data, most_members)
    with undecodable("ZIP", zipfile.BadZipFile):
        file = zipfile.ZipFile(io.BytesIO(data))
    with file:
        if len(file.namelist()) > most_members:
            raise _too_many(most_members)
        yield ZipArchive(file, limit)


def _check_directory(data: bytes, most_members: int) -> None:
    end = data.rfind(_END, max(0, len(data) - _END_BYTES - _LONGEST_COMMENT))
    if end < 0 or len(data) < end + _END_BYTES:
        raise _damaged("ZIP")
    members, directory_bytes = struct.unpack_from("<HI", data, end + 10)
    # Files of these sizes need no 64-bit directory, which would be counted elsewhere.
    is_64 = data[max(0, end - 20) : end].startswith(_END_64)
    if is_64 or members > most_members or directory_bytes > _MOST_DIRECTORY_BYTES:
        raise _too_many(most_members)


def _is_hidden(name: str) -> bool:
    folders, _, file = name.rpartition("/")
    return folders.startswith("__MACOSX") or file.startswith(".") or file.lower() in _SYSTEM_FILES


def _too_many(most_members: int) -> TooLargeError:
    return TooLargeError(f"the ZIP file has more than {most_members:,} members", field="inputs")


def _damaged(kind: str) -> UndecodableError:
    return UndecodableError(
        f"not a readable {kind} file; it is damaged or truncated", field="inputs"
    )


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the file unpacks to more than {limit:,} bytes", field="inputs")
