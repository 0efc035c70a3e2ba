from __future__ import annotations

import struct

import pytest

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.points.ply_header import extract_vertices

XYZ = "property float x\nproperty float y\nproperty float z\n"


def ply(elements: str, body: bytes = b"", form: str = "ascii") -> bytes:
    return f"ply\nformat {form} 1.0\ncomment note\n{elements}end_header\n".encode() + body


def counted(data: bytes) -> tuple[bytes, int, list[int]]:
    counts: list[int] = []
    vertices, count = extract_vertices(data, counts.append)
    return vertices, count, counts


def test_faces_behind_the_vertices_are_cut_off():
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    data = ply(f"element vertex 2\n{XYZ}{faces}", b"1 2 3\n4 5 6\n3 0 1 0\n")
    vertices, count, counts = counted(data)
    assert count == 2
    assert counts == [2]
    assert b"face" not in vertices
    assert vertices.endswith(b"end_header\n1 2 3\n4 5 6\n")


def test_binary_vertices_are_cut_by_their_size():
    body = struct.pack("<6f", *range(6))
    data = ply(f"element vertex 2\n{XYZ}", body + b"rest", "binary_little_endian")
    assert counted(data)[0].endswith(b"end_header\n" + body)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"ply\nformat ascii 1.0\n", UndecodableError),
        (b"ply\nend_header\n", UndecodableError),
        (ply(f"element vertex 1\n{XYZ}").replace(b"note", b"n\xf6te"), UndecodableError),
        (ply(f"element vertex many\n{XYZ}"), UndecodableError),
        (ply(f"element vertex 2\n{XYZ}", b"1 2 3\n"), UndecodableError),
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
