from __future__ import annotations

import struct

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.points.ply_vertices import read_vertices
from omnivec2.preprocess.notes import NoteCode, collect_notes

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
        (ply(f"element vertex 1\n{XYZ}").replace(b"float", b"number"), UndecodableError),
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
            ply(f"element vertex 1\n{XYZ}property list uchar int extra\n", b"1 2 3 2\n"),
            UndecodableError,
        ),
    ],
)
def test_headers_that_cannot_be_used_are_refused(data, error):
    with pytest.raises(error):
        counted(data)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_elements_and_lists_before_and_within_the_vertices_are_passed_over(form):
    lists = "property list uchar float weights\n"
    elements = (
        f"element camera 1\nproperty float cx\nelement face 2\n{lists}"
        f"element Vertex 2\n{lists}{XYZ.upper().replace('PROPERTY FLOAT', 'property float')}"
    )
    order = ">" if "big" in form else "<"
    faces = [(2, 7.0, 8.0), (0,)]
    vertices = [(1, 9.0, 1.0, 2.0, 3.0), (2, 9.0, 9.0, 4.0, 5.0, 6.0)]
    if form == "ascii":
        rows = [(0.5,), *faces, *vertices]
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    else:
        packed = [struct.pack(f"{order}B{len(row) - 1}f", *row) for row in (*faces, *vertices)]
        body = struct.pack(f"{order}f", 0.5) + b"".join(packed)
    assert counted(ply(elements, body, form))[0] == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(UndecodableError):
        counted(ply(elements, body[:-9], form))


def test_lists_of_more_rows_than_can_be_walked_are_refused():
    elements = f"element face 9000000\nproperty list uchar int v\nelement vertex 1\n{XYZ}"
    with pytest.raises(TooLargeError):
        counted(ply(elements, bytes(100), "binary_little_endian"))


def test_any_line_ends_comments_and_places_of_the_format_line_are_read():
    text = f"ply\ncomment f\xfcr alle\nelement vertex 1\n{XYZ}format ascii 1.0\nend_header\n1 2 3\n"
    for ending in ("\n", "\r\n", "\r"):
        assert counted(text.replace("\n", ending).encode("latin-1"))[0] == [[1, 2, 3]]


def test_decimal_commas_in_text_are_read_with_a_note():
    with collect_notes() as notes:
        assert counted(ply(f"element vertex 1\n{XYZ}", b"1,5 2 -0,5\n"))[0] == [[1.5, 2, -0.5]]
    assert [note.code for note in notes] == [NoteCode.GUESSED]
