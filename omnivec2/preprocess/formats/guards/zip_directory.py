"""Opening of ZIP archives whose directory is measured before it is read.

Python reads the whole directory on opening, an object of several hundred bytes per entry; an
archive of many empty entries is far larger in memory than as a file.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable

_END = struct.Struct("<4s4H2LH")  # APPNOTE 6.3.10, 4.3.16
_END_MAGIC, _ZIP64_LOCATOR_MAGIC = b"PK\5\6", b"PK\6\7"
_ZIP64_LOCATOR_BYTES = 20
_LONGEST_COMMENT = 2**16 - 1
_LARGEST_DIRECTORY = 2**16
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_HIDDEN_NAMES = frozenset({"thumbs.db", "desktop.ini"})


@contextmanager
def open_zip(data: bytes, most_members: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Args:
        data: The archive.
        most_members: The most entries that it may have.

    Raises:
        UndecodableError: It is damaged or truncated.
        TooLargeError: It has too many entries, or a directory of an unusual size.
    """
    end = _end_of_directory(data)
    if end < 0 or end + _END.size > len(data):
        raise UndecodableError("the ZIP file is truncated: it has no directory", field="inputs")
    _, _, _, _, members, directory_bytes, _, _ = _END.unpack_from(data, end)
    locator = end - _ZIP64_LOCATOR_BYTES
    if locator >= 0 and data[locator : locator + 4] == _ZIP64_LOCATOR_MAGIC:
        raise TooLargeError("ZIP64 archives are not taken; pack fewer files", field="inputs")
    if members > most_members or directory_bytes > _LARGEST_DIRECTORY:
        raise TooLargeError(f"the ZIP holds more than {most_members} files", field="inputs")
    with undecodable("ZIP", zipfile.BadZipFile):
        archive = zipfile.ZipFile(io.BytesIO(data))
    with archive:
        if len(archive.infolist()) > most_members:
            raise TooLargeError(f"the ZIP holds more than {most_members} files", field="inputs")
        yield archive


def visible_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files of an archive without folders and what systems leave beside files."""
    return [member for member in archive.infolist() if not _is_hidden(member)]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int) -> bytes:
    """Unpack a file of an archive.

    Args:
        archive: The archive.
        member: The file.
        most_bytes: The most bytes to which it may unpack.

    Raises:
        UndecodableError: It is damaged.
        TooLargeError: It declares more bytes.
        InvalidInputError: It is encrypted or packed by a method that is not taken.
    """
    _check_readable(member)
    if member.file_size > most_bytes:
        raise TooLargeError(
            f"{member.filename[:80]} in the ZIP unpacks to {member.file_size:,} bytes, "
            f"the limit is {most_bytes:,}",
            field="inputs",
        )
    with undecodable("ZIP", zipfile.BadZipFile):
        return archive.read(member)  # reading stops at the declared size


def read_beginning(archive: zipfile.ZipFile, member: zipfile.ZipInfo, count: int) -> bytes:
    """Unpack the first bytes of a file of an archive.

    Raises:
        UndecodableError: It is damaged.
        InvalidInputError: It is encrypted or packed by a method that is not taken.
    """
    _check_readable(member)
    with undecodable("ZIP", zipfile.BadZipFile), archive.open(member) as stream:
        return stream.read(count)


def _check_readable(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise InvalidInputError("the ZIP is encrypted; send it without a password", field="inputs")
    if member.compress_type not in _METHODS:
        raise InvalidInputError(
            f"the ZIP uses compression method {member.compress_type}, which is unsupported; "
            "pack it with Deflate",
            field="inputs",
        )


def _end_of_directory(data: bytes) -> int:
    """Return the position of the end record that :mod:`zipfile` finds, or -1."""
    last = len(data) - _END.size
    if last >= 0 and data[last : last + 4] == _END_MAGIC and data[-2:] == b"\0\0":
        return last
    return data.rfind(_END_MAGIC, max(0, last - _LONGEST_COMMENT))


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    folders, _, name = member.filename.rpartition("/")
    return (
        member.is_dir()
        or folders.startswith("__MACOSX")
        or name.startswith(".")
        or name.lower() in _HIDDEN_NAMES
    )
