from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.zip_directory import (
    open_zip,
    read_beginning,
    read_member,
    visible_members,
)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_files_are_read_and_what_systems_leave_beside_them_is_hidden() -> None:
    files = {"a/x.dat": b"abc", "a/._x.dat": b"", "__MACOSX/a/x": b"", "Thumbs.db": b"", "b/": b""}
    with open_zip(zipped(files), 10) as archive:
        (member,) = visible_members(archive)
        assert member.filename == "a/x.dat"
        assert read_member(archive, member, 3) == b"abc"
        assert read_beginning(archive, member, 2) == b"ab"
        with pytest.raises(TooLargeError, match=r"x\.dat in the ZIP unpacks to 3 bytes"):
            read_member(archive, member, 2)


def test_a_directory_of_many_entries_is_refused_before_it_is_read() -> None:
    data = zipped({f"{number:05}": b"" for number in range(20_000)}, zipfile.ZIP_STORED)
    lying = bytearray(data)
    struct.pack_into("<HH", lying, len(data) - 14, 3, 3)
    for file in (data, bytes(lying), data + b"\0" * 9):
        tracemalloc.start()
        with pytest.raises(InputError), open_zip(file, 64):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * len(data)


def test_more_entries_than_declared_are_counted() -> None:
    data = bytearray(zipped({str(number): b"" for number in range(70)}))
    struct.pack_into("<HH", data, len(data) - 14, 3, 3)
    with pytest.raises(TooLargeError, match="more than 64 files"), open_zip(bytes(data), 64):
        pass


def test_zip64_directories_are_refused() -> None:
    data = zipped({"a": b"b"})
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    with (
        pytest.raises(TooLargeError, match="ZIP64"),
        open_zip(data[:-22] + locator + data[-22:], 9),
    ):
        pass


def test_encrypted_files_and_rare_methods_are_refused_by_name() -> None:
    data = bytearray(zipped({"a": b"b"}))
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    with open_zip(bytes(data), 9) as archive, pytest.raises(InvalidInputError, match="encrypted"):
        read_member(archive, archive.infolist()[0], 9)
    data = bytearray(zipped({"a": b"b"}, zipfile.ZIP_LZMA))
    with open_zip(bytes(data), 9) as archive, pytest.raises(InvalidInputError, match="method 14"):
        read_beginning(archive, archive.infolist()[0], 9)


@pytest.mark.parametrize("kept", [0, 4, 30, -1, -10, -23])
def test_truncated_archives_are_refused(kept: int) -> None:
    data = zipped({"a": b"b" * 100})[:kept]
    with pytest.raises(UndecodableError), open_zip(data, 9) as archive:
        read_member(archive, archive.infolist()[0], 1000)


def test_a_damaged_file_is_refused() -> None:
    data = bytearray(zipped({"a": b"bcdefg" * 10}, zipfile.ZIP_STORED))
    data[40] ^= 1
    with open_zip(bytes(data), 9) as archive, pytest.raises(UndecodableError, match="ZIP"):
        read_member(archive, archive.infolist()[0], 1000)
