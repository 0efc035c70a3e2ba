"""The vertices of meshes: OFF, OBJ and STL. Faces are not used, which is noted."""

from __future__ import annotations

import re

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_OFF = re.compile(rb"(?:#[^\n]*\n|\s)*(ST)?(C)?(N)?(4)?(n)?OFF(?![A-Za-z])")
_OBJ = re.compile(rb"^(?:v|vn|vt|vp|o|g|mtllib|usemtl)[ \t]", re.MULTILINE)
_STL_HEADER_BYTES, _TRIANGLE_BYTES = 84, 50
_DAMAGED = "the {} file is damaged or truncated"


def is_off(head: bytes) -> bool:
    """Whether a file's first bytes are those of OFF."""
    return _OFF.match(head) is not None


def is_obj(head: bytes) -> bool:
    """Whether a file's first bytes are those of Wavefront OBJ: lines that begin with keywords."""
    lines = [line for line in head.split(b"\n")[:40] if line.strip() and not line.startswith(b"#")]
    return bool(lines) and _OBJ.match(lines[0]) is not None


def is_stl(data: bytes) -> bool:
    """Whether a file is STL: text that begins with ``solid``, or as long as its count says."""
    if data[:5].lower() == b"solid" and b"facet" in data[:1024].lower():
        return True
    if len(data) < _STL_HEADER_BYTES + _TRIANGLE_BYTES:
        return False
    count = int.from_bytes(data[80:84], "little")
    return len(data) == _STL_HEADER_BYTES + _TRIANGLE_BYTES * count


def read_off(data: bytes, limits: Limits) -> Array:
    """Read the vertices of an OFF file: float64 (points, 3).

    Raises:
        UndecodableError: The file is damaged, truncated or binary.
        TooLargeError: It declares more points than the limit.
    """
    match = _OFF.match(data)
    if match is None:
        raise UndecodableError("expected an OFF file beginning with the word OFF")
    if match[4] or match[5]:
        raise InvalidInputError("unsupported: an OFF file of four dimensions")
    body = re.sub(rb"#[^\n]*", b"", data[match.end() :])
    # ModelNet's files have the counts right behind the word: "OFF8 6 0".
    lines = [line for line in body.splitlines() if line.strip()]
    counts = lines[0].split() if lines else []
    if len(counts) < 2 or not all(word.isdigit() for word in counts[:2]):
        raise UndecodableError("expected an OFF file of text with its counts in the first line")
    count, faces = int(counts[0][:18]), int(counts[1][:18])
    _check(count, limits)
    if len(lines) - 1 < count:
        raise UndecodableError(f"the OFF file is truncated: {count:,} vertices declared")
    _note_faces(faces)
    return _load(lines[1 : count + 1], (0, 1, 2), "OFF")


def read_obj(data: bytes, limits: Limits) -> Array:
    """Read the vertices of a Wavefront OBJ file: float64 (points, 3).

    Raises:
        UndecodableError: A vertex is damaged.
        InvalidInputError: There are no vertices.
        TooLargeError: There are more points than the limit.
    """
    lines = [line for line in data.splitlines() if line.lstrip()[:2] in (b"v ", b"v\t")]
    if not lines:
        raise InvalidInputError("the OBJ file has no vertices (lines 'v x y z')")
    _check(len(lines), limits)
    _note_faces(data.count(b"\nf "))
    return _load(lines, (1, 2, 3), "OBJ")


def read_stl(data: bytes, limits: Limits) -> Array:
    """Read the corners of an STL file's triangles, each place once: float64 (points, 3).

    Raises:
        UndecodableError: The file is damaged or truncated.
        TooLargeError: There are more points than the limit.
    """
    if is_stl(data) and data[:5].lower() == b"solid" and b"vertex" in data[:1024].lower():
        lines = [line for line in data.splitlines() if line.lstrip()[:7].lower() == b"vertex "]
        _check((len(lines) + 2) // 3, limits)
        corners = _load(lines, (1, 2, 3), "STL")
    else:
        count = int.from_bytes(data[80:84], "little")
        _check((count + 2) // 3, limits)
        if len(data) < _STL_HEADER_BYTES + count * _TRIANGLE_BYTES:
            raise UndecodableError(f"the STL file is truncated: {count:,} triangles declared")
        row = np.dtype([("numbers", "<f4", (4, 3)), ("attribute", "<u2")])
        rows = np.frombuffer(data, row, count, _STL_HEADER_BYTES)
        corners = rows["numbers"][:, 1:].reshape(-1, 3).astype(np.float64)
    _note_faces(len(corners) // 3)
    points = np.unique(corners, axis=0)
    _check(len(points), limits)
    return points


def _load(lines: list[bytes], columns: tuple[int, int, int], name: str) -> Array:
    try:
        text = [line.decode("ascii") for line in lines]
        return np.loadtxt(text, dtype=np.float64, comments="#", usecols=columns, ndmin=2)
    except ValueError as error:
        raise UndecodableError(_DAMAGED.format(name)) from error


def _check(count: int, limits: Limits) -> None:
    if count < 1:
        raise InvalidInputError("a point cloud needs at least 1 point", field="inputs")
    if limits.points is not None and count > limits.points:
        raise TooLargeError(f"the file has {count:,} points, the limit is {limits.points:,}")


def _note_faces(count: int) -> None:
    if count:
        note(
            NoteCode.IGNORED,
            "the faces of the mesh are not used, only its vertices; "
            "sample points from its surface for a better answer",
        )
