from __future__ import annotations

import struct

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.points.ply_vertices import read_vertices

XYZ = "property float x\nproperty float y\nproperty float z\n"


def ply(elements: str, body: bytes = b"", form: str = "ascii") -> bytes:
    return f"ply\nformat {form} 1.0\ncomment note\n{elements}end_header\n".encode() + body


def counted(data: bytes) -> tuple[list[list[float]], list[int]]:
    counts: list[int] = []
    vertices = read_vertices(data, counts.append)
    assert vertices.dtype == np.float64
    return vertices.tolist(), counts


def test_faces_behind_the_vertices_are_not_read():
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    data = ply(f"element vertex 2\n{XYZ}{faces}", b"1 2 3\n4 5 6\n3 0 1 0\n")
    assert counted(data) == ([[1, 2, 3], [4, 5, 6]], [2])


@pytest.mark.parametrize(("form", "order"), [("little", "<"), ("big", ">")])
def test_binary_vertices_are_read_in_their_byte_order(form, order):
    body = struct.pack(f"{order}dBh3f", 7.0, 1, -5, 1, 2, 3) * 2
    properties = "property double t\nproperty uchar red\nproperty short red\n" + XYZ
    data = ply(f"element vertex 2\n{properties}", body + b"rest", f"binary_{form}_endian")
    assert counted(data)[0] == [[1, 2, 3]] * 2


def test_coordinates_are_found_by_their_names():
    properties = "property uchar red\nproperty float z\nproperty float y\nproperty double x\n"
    assert counted(ply(f"element vertex 1\n{properties}", b"9 3 2 1e2\n"))[0] == [[100, 2, 3]]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"ply\nformat ascii 1.0\n", UndecodableError),
        (b"ply\nend_header\n", UndecodableError),
        (ply(f"element vertex 1\n{XYZ}").replace(b"note", b"n\xf6te"), UndecodableError),
        (ply(f"element vertex many\n{XYZ}"), UndecodableError),
        (ply(f"element vertex 2\n{XYZ}", b"1 2 3\n"), UndecodableError),
        (ply(f"element vertex 2\n{XYZ}", b"1 2 3\n\n4 5 6\n"), UndecodableError),
        (ply(f"element vertex 1\n{XYZ}", b"1 2 3 4\n"), UndecodableError),
        (ply(f"element vertex 1\n{XYZ}", b"1 2 b\n"), UndecodableError),
        (ply(f"element vertex 1\n{XYZ}", b"1 2 \xff\n"), UndecodableError),
        (ply(f"element vertex 1\n{XYZ}", b"1 2 3\n", "binary"), UndecodableError),
        (ply(f"element vertex 2\n{XYZ}", bytes(23), "binary_little_endian"), UndecodableError),
        (ply("element face 0\n"), InvalidInputError),
        (ply(f"element vertex 0\n{XYZ}"), InvalidInputError),
        (ply("element vertex 1\nproperty float x\n", b"1\n"), InvalidInputError),
        (
            ply(f"element vertex 1\n{XYZ}property list uchar int extra\n", b"1 2 3 0\n"),
            InvalidInputError,
        ),
    ],
)
def test_headers_that_cannot_be_used_are_refused(data, error):
    with pytest.raises(error):
        counted(data)
