from __future__ import annotations

import struct

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.points.mesh_vertices import read_obj, read_off, read_stl
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.pointcloud import PointCloudParameters, PointCloudPreprocessor
from omnivec2.spec import Limits

LIMITS = Limits(points=100)
CORNERS: list[list[float]] = [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0.5]]
FACES = [[0, 1, 2], [1, 2, 3]]
VERTICES = "".join(f"{x} {y} {z}\n" for x, y, z in CORNERS)


def stl(text: bool) -> bytes:
    if text:
        facets = "".join(
            "  facet normal 0 0 1\n    outer loop\n"
            + "".join("      vertex {} {} {}\n".format(*CORNERS[i]) for i in face)
            + "    endloop\n  endfacet\n"
            for face in FACES
        )
        return f"solid part\n{facets}endsolid part\n".encode()
    rows = (
        struct.pack("<12fH", 0, 0, 1, *(value for i in face for value in CORNERS[i]), 7)
        for face in FACES
    )
    return b"solid in name only".ljust(80) + struct.pack("<I", len(FACES)) + b"".join(rows)


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (read_off, f"OFF\n4 2 0\n{VERTICES}3 0 1 2\n3 1 2 3\n".encode()),
        (read_off, f"OFF4 2 0\n{VERTICES}3 0 1 2\n".encode()),
        (read_off, f"# made by\r\nCOFF # colours\r\n4 2 0\r\n{VERTICES}".encode()),
        (read_obj, b"# made\nmtllib a\n" + VERTICES.replace("0 0 0\n", "0 0 0 1 1 1\n", 1)
         .replace("\n", "\nv ").removesuffix("v ").join(("v ", "vn 0 0 1\nf 1 2 3\n")).encode()),
        (read_stl, stl(text=True)),
        (read_stl, stl(text=False)),
    ],
)  # fmt: skip
def test_the_vertices_of_meshes_are_points_and_faces_are_noted(read, data):
    with collect_notes() as notes:
        points = read(data, LIMITS)
    assert points.dtype == np.float64
    assert points.tolist() == CORNERS
    assert [note.code for note in notes] == ["ignored"]
    preprocess = PointCloudPreprocessor(PointCloudParameters())
    assert len(preprocess.decode(data)) == 4
    assert len(preprocess.decode(data, "text/plain")) == 4


@pytest.mark.parametrize(
    ("read", "data", "error"),
    [
        (read_off, b"4 2 0\n", UndecodableError),
        (read_off, b"OFF BINARY\n", UndecodableError),
        (read_off, b"4OFF\n1 0 0\n", InvalidInputError),
        (read_off, b"OFF\n5 0 0\n" + VERTICES.encode(), UndecodableError),
        (read_off, b"OFF\n1 0 0\n1 2\n", UndecodableError),
        (read_off, b"OFF\n0 0 0\n", InvalidInputError),
        (read_off, b"OFF\n101 0 0\n", TooLargeError),
        (read_obj, b"f 1 2 3\n", InvalidInputError),
        (read_obj, b"v 1 2\n", UndecodableError),
        (read_obj, b"v 0 0 0\n" * 101, TooLargeError),
        (read_stl, stl(text=False)[:-1], UndecodableError),
        (read_stl, bytes(80) + b"\xff\xff\xff\xff", TooLargeError),
        (read_stl, bytes(84), InvalidInputError),
        (read_stl, stl(text=True).replace(b"vertex 0 1 0", b"vertex 0 one 0"), UndecodableError),
    ],
)
def test_meshes_that_cannot_be_used_are_refused(read, data, error):
    with pytest.raises(error):
        read(data, LIMITS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(60), "compressed"),
        (b"glTF\x02\0\0\0", "glTF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<?xml?>", "XML"),
        (np.arange(400, dtype="<f4").tobytes(), "KITTI"),
    ],
)
def test_formats_that_are_not_read_are_refused_by_their_names(data, name):
    preprocess = PointCloudPreprocessor(PointCloudParameters())
    with pytest.raises(InputError, match=name):
        preprocess.decode(data)
