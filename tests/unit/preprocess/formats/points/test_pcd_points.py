from __future__ import annotations

import struct

import numpy as np
import pytest

from omnivec2.errors import InputError, UndecodableError
from omnivec2.preprocess.formats.points.pcd_points import read_pcd
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Limits

pypcd4 = pytest.importorskip("pypcd4")
LIMITS = Limits(points=100, decoded_bytes=2**16)

MIXED = struct.pack("<HddiHddi", 9, 1, 2, 3, 9, 4, 5, 6)


def pcd(fields="x y z", sizes="4 4 4", types="F F F", data="ascii", body=b"", more="") -> bytes:
    head = (
        f"VERSION .7\nFIELDS {fields}\nSIZE {sizes}\nTYPE {types}\n{more}WIDTH 2\nHEIGHT 1\n"
        f"POINTS 2\nDATA {data}\n"
    )
    return head.encode() + body


@pytest.mark.parametrize(
    "data",
    [
        pcd(body=b"1 2 3\n4 5 6\n"),
        pcd(body=b"  1\t2  3 \r\n4 5   6\r\n"),
        pcd().replace(b"POINTS 2\n", b"") + b"1 2 3\n4 5 6\n",
        pcd("X Y Z", body=b"1 2 3\n4 5 6\n"),
        pcd("z _ y x", "4 1 4 4", "F U F F", "ascii", b"3 0 0 2 1\n6 0 0 5 4\n", "COUNT 1 2 1 1\n"),
        pcd(data="binary", body=struct.pack("<6f", 1, 2, 3, 4, 5, 6) + b"more"),
        pcd("i x y z", "2 8 8 4", "U F F I", "BINARY", MIXED),
        b"# a\n\n#b\n" + pcd(body=b"1 2 3\n4 5 6\n"),
    ],
)  # fmt: skip
def test_coordinates_are_found_by_name_in_any_order_and_type(data):
    assert read_pcd(data, LIMITS).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_compressed_points_with_padding_are_read(tmp_path):
    points = np.array([[1, 2, 3, 7], [4, 5, 6, 8]], np.float32)
    cloud = pypcd4.PointCloud.from_points(points, ("z", "y", "x", "_"), (np.float32,) * 4)
    cloud.save(tmp_path / "cloud.pcd", encoding=pypcd4.Encoding.BINARY_COMPRESSED)
    data = b"# by a program\r\n" + (tmp_path / "cloud.pcd").read_bytes()
    assert read_pcd(data, LIMITS).tolist() == [[3, 2, 1], [6, 5, 4]]


def test_a_viewpoint_is_noted_unless_it_says_nothing():
    for view, noted in (("0 0 0 1 0 0 0", False), ("1 2 3 1 0 0 0", True)):
        with collect_notes() as notes:
            read_pcd(pcd(body=b"1 2 3\n4 5 6\n", more=f"VIEWPOINT {view}\n"), LIMITS)
        assert bool(notes) == noted


@pytest.mark.parametrize(
    "data",
    [
        pcd(sizes="4 4", body=b"1 2 3\n4 5 6\n"),
        pcd(sizes="3 4 4", body=b"1 2 3\n4 5 6\n"),
        pcd(types="F F Q", body=b"1 2 3\n4 5 6\n"),
        pcd(more="COUNT 1 1 -1\n", body=b"1 2 3\n4 5 6\n"),
        pcd(more="COUNT 0 0 0\n", data="binary", body=bytes(24)),
        pcd(data="zipped", body=b"1 2 3\n4 5 6\n"),
        pcd().replace(b"POINTS 2", b"POINTS -2"),
        pcd(body=b""),
        b"DATA ascii\n1 2 3\n",
    ],
)
def test_damaged_headers_are_refused(data):
    with pytest.raises(InputError):
        read_pcd(data, LIMITS)


def test_fewer_points_than_declared_are_a_truncated_file():
    for form, body in (("ascii", b"1 2 3\n"), ("binary", bytes(20))):
        with pytest.raises(UndecodableError, match="truncated"):
            read_pcd(pcd(data=form, body=body), LIMITS)
