from __future__ import annotations

import gzip
import io
import struct
import zipfile

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.archives import MOST_MEMBERS, gunzip, open_zip


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_gzip_of_several_members_is_joined():
    assert gunzip(gzip.compress(b"ab") + gzip.compress(b"cd"), 4) == b"abcd"


def test_gzip_is_unpacked_no_further_than_its_limit():
    with pytest.raises(TooLargeError, match="more than 1,000 bytes"):
        gunzip(gzip.compress(bytes(10**7)), 1_000)
    with pytest.raises(TooLargeError):
        gunzip(gzip.compress(bytes(600)) * 2, 1_000)


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"abc" * 99)[:-12], b"\x1f\x8b\x08" + bytes(30)],
    ids=["truncated", "nothing but zeros"],
)
def test_damaged_gzip_is_undecodable(data):
    with pytest.raises(UndecodableError, match="GZIP"):
        gunzip(data, 1_000)


def test_members_are_read_by_name_and_folders_are_none():
    with open_zip(zipped({"a/": b"", "a/b": b"1", "c": b"2"}), 10) as archive:
        assert archive.names == ["a/b", "c"]
        assert archive.read("c") == b"2"


def test_what_systems_leave_beside_files_is_not_among_those_that_people_put_there():
    files = {"a/x": b"abc", "a/._x": b"", "__MACOSX/a/x": b"", "Thumbs.db": b"", ".DS_Store": b""}
    with open_zip(zipped(files), 10) as archive:
        assert archive.sizes == {"a/x": 3}
        assert set(archive.names) == set(files)


def test_the_beginning_of_a_member_does_not_count():
    with open_zip(zipped({"a": bytes(60)}), 60) as archive:
        assert archive.beginning("a", 2) == bytes(2)
        assert archive.read("a") == bytes(60)


def test_members_over_a_lower_limit_are_too_many():
    data = bytearray(zipped({str(number): b"" for number in range(9)}))
    lying = bytes(data[:-14]) + struct.pack("<HH", 1, 1) + bytes(data[-10:])
    for file in (bytes(data), lying):
        with pytest.raises(TooLargeError, match="more than 8 members"), open_zip(file, 10, 8):
            pass


def test_all_members_that_are_read_count_towards_the_limit():
    with open_zip(zipped({"a": bytes(60), "b": bytes(60)}), 100) as archive:
        archive.read("a")
        with pytest.raises(TooLargeError):
            archive.read("b")


def test_a_size_that_the_directory_belittles_does_not_help():
    data = zipped({"a": bytes(10**6)})
    lying = data.replace(struct.pack("<I", 10**6), struct.pack("<I", 10))
    assert lying != data
    with open_zip(lying, 1_000) as archive, pytest.raises((TooLargeError, UndecodableError)):
        archive.read("a")


def test_a_directory_is_counted_before_it_is_read(monkeypatch):
    data = zipped({str(number): b"" for number in range(MOST_MEMBERS * 6)})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(TooLargeError, match="members"), open_zip(data, 100):
        pass
    lying = data[:-12] + struct.pack("<H", 1) + data[-10:]
    with pytest.raises(TooLargeError, match="members"), open_zip(lying, 100):
        pass


def test_encrypted_members_are_named():
    data = bytearray(zipped({"a": b"1"}))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with open_zip(bytes(data), 100) as archive, pytest.raises(InvalidInputError, match="encrypted"):
        archive.read("a")


def test_rare_methods_are_named():
    data = zipped({"a": b"1" * 100}, zipfile.ZIP_LZMA)
    with open_zip(data, 1_000) as archive, pytest.raises(UndecodableError, match="unsupported"):
        archive.read("a")


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_truncated_archive_is_undecodable(cut):
    with pytest.raises(UndecodableError, match="ZIP"), open_zip(zipped({"a": b"1"})[:-cut], 100):
        pass


def test_directories_of_other_versions_are_undecodable():
    data = bytearray(zipped({"a": b"1"}))
    data[data.rindex(b"PK\x01\x02") + 6] = 200
    with pytest.raises(UndecodableError, match="ZIP"), open_zip(bytes(data), 100):
        pass


def test_damaged_members_are_undecodable():
    data = bytearray(zipped({"a": b"abcdefgh" * 9}))
    data[40] ^= 0xFF
    with open_zip(bytes(data), 1_000) as archive, pytest.raises(UndecodableError):
        archive.read("a")
