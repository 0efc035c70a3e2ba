from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.points import point_readers
from omnivec2.preprocess.formats.points.pcd_points import read_pcd
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

DATA = Path(__file__).parents[4] / "data" / "pointcloud"
LIMITS = Limits(points=10_000, decoded_bytes=2**20)
PCD = (
    b"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 2\nHEIGHT 1\n"
    b"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\n"
)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"ply\nformat ascii 1.0\n", point_readers.PLY),
        (b"plywood", point_readers.TEXT),
        (b"x,y,z\n1,2,3\n", point_readers.TEXT),
        (b"# .PCD v.7\n", point_readers.PCD),
        (b"# by a program\n\n# of mine\nVERSION .7\nFIELDS x\nSIZE 4\n", point_readers.PCD),
        (b"OFF8 6 0\n0 0 0\n", point_readers.OFF),
        (b"# made by\nCOFF\n8 6 0\n", point_readers.OFF),
        (b"# made by\nmtllib a.mtl\nv 1 2 3\n", point_readers.OBJ),
        (b"solid a\n facet normal 0 0 1\n", point_readers.STL),
        (bytes(80) + b"\1\0\0\0" + bytes(50), point_readers.STL),
        (b"LASF", point_readers.LAS),
        (b"LASF" + bytes(100) + b"\x80", point_readers.LAZ),
        (b'\xef\xbb\xbf {"points": []}', "application/json"),
        (b"# x y z\n1 2 3\n", point_readers.TEXT),
        (b"1 2\0", None),
        (b"", None),
    ],
)
def test_formats_are_detected_by_their_first_bytes(data, media_type):
    assert point_readers.sniff_points(data) == media_type


def test_ascii_and_binary_pcd_give_their_points():
    expected = [[1, 2, 3], [4, 5, 6]]
    text = PCD + b"DATA ascii\n1 2 3\n4 5 6\n"
    binary = PCD + b"DATA binary\n" + struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    for data in (text, binary):
        assert read_pcd(data, LIMITS).tolist() == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"VERSION .7\nno data line\n", UndecodableError),
        (PCD.replace(b"x y z", b"x y w") + b"DATA ascii\n1 2 3\n4 5 6\n", InvalidInputError),
        (PCD + b"DATA ascii\n1 2 3\n", UndecodableError),
        (PCD + b"DATA ascii\n1 2 3\n4 5 six\n", UndecodableError),
        (PCD + b"DATA binary\n" + bytes(8), UndecodableError),
        (PCD + b"DATA binary_compressed\n" + struct.pack("<II", 9, 24), UndecodableError),
        (PCD.replace(b"POINTS 2", b"POINTS 20000") + b"DATA ascii\n", TooLargeError),
        (
            PCD.replace(b"COUNT 1 1 1", b"COUNT 1 1 9000") + b"DATA ascii\n1 2 3\n",
            TooLargeError,
        ),
        (
            PCD.replace(b"COUNT 1 1 1", b"COUNT 1 1 90").replace(b"POINTS 2", b"POINTS 9000")
            + b"DATA binary\n",
            TooLargeError,
        ),
    ],
)
def test_pcd_files_that_cannot_be_used_are_refused(data, error):
    with pytest.raises(error):
        read_pcd(data, LIMITS)


def test_xyz_text_may_have_names_a_count_comments_and_more_columns():
    for text in ("x y z\n1 2 3\n", "1\n1 2 3\n", "# note\n1,2,3,255\n", "// note\n1;2;3\n"):
        assert point_readers.read_text(text.encode(), LIMITS).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("text", ["", "# nothing\n", "x y z\n"])
def test_text_without_points_is_invalid(text):
    with pytest.raises(InvalidInputError, match="at least 1 point"):
        point_readers.read_text(text.encode(), LIMITS)


def test_text_of_two_columns_or_of_words_is_undecodable():
    for text in (b"1 2\n3 4\n", b"1 2 3\nfour five six\n", b"\xff\xfe"):
        with pytest.raises(UndecodableError):
            point_readers.read_text(text, LIMITS)


def las(count: int, record_bytes: int = 20, payload: bytes = b"") -> bytes:
    """A LAS 1.2 file of point format 0."""
    header = bytearray(227)
    header[:4] = b"LASF"
    header[24:26] = bytes([1, 2])
    struct.pack_into("<HII", header, 94, 227, 227, 0)
    struct.pack_into("<BHI", header, 104, 0, record_bytes, count)
    struct.pack_into("<6d", header, 131, 1, 1, 1, 0, 0, 0)
    return bytes(header) + payload


def test_las_points_are_scaled_to_map_units():
    records = b"".join(struct.pack("<iii8x", *xyz) for xyz in ((1, 2, 3), (4, 5, 6)))
    points = point_readers.read_las(las(2, payload=records), LIMITS)
    assert points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_las_points_in_degrees_are_noted():
    records = b"".join(struct.pack("<iii8x", *xyz) for xyz in ((1, 2, 3), (4, 5, 6)))
    data = bytearray(las(2, payload=records))
    for step, noted in ((1e-7, True), (1e-3, False)):
        struct.pack_into("<3d", data, 131, step, step, 1e-3)
        with collect_notes() as notes:
            read = point_readers.read_las(bytes(data), LIMITS)
        assert read[:, 0].tolist() == [step, 4 * step]
        assert [note.code for note in notes] == ([NoteCode.UNUSUAL] if noted else [])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_las_points_without_a_scale_are_undecodable(scale):
    data = bytearray(las(1, payload=bytes(20)))
    struct.pack_into("<d", data, 131, scale)
    with pytest.raises(UndecodableError, match=r"scales of its coordinates are .*, 1, 1; expected"):
        point_readers.read_las(bytes(data), LIMITS)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (las(0), InvalidInputError),
        (las(2), UndecodableError),
        (las(9_000, record_bytes=1_000), TooLargeError),
        (las(20_000), TooLargeError),
        (b"LASF", UndecodableError),
        (las(1)[:94] + struct.pack("<HII", 227, 10**6, 0) + las(1)[104:], UndecodableError),
        (las(1)[:94] + struct.pack("<HII", 227, 227, 5_000) + las(1)[104:], UndecodableError),
    ],
)
def test_las_files_that_cannot_be_used_are_refused(data, error):
    with pytest.raises(error):
        point_readers.read_las(data, LIMITS)


def test_a_laz_file_with_fewer_points_than_declared_is_truncated():
    data = (DATA / "table.laz").read_bytes()
    count = len(point_readers.read_las(data, LIMITS))
    with pytest.raises(UndecodableError, match="truncated"):
        point_readers._read_laz(data, count + 1)


def test_arrays_of_other_shapes_are_invalid(tmp_path):
    path = tmp_path / "points.npy"
    for shape in ((3,), (4, 2)):
        np.save(path, np.zeros(shape))
        with pytest.raises(InvalidInputError):
            point_readers.read_array(path.read_bytes(), LIMITS)
    np.save(path, np.zeros((20_000, 3), np.float16))
    with pytest.raises(InputError, match="20,000 points"):
        point_readers.read_array(path.read_bytes(), LIMITS)
