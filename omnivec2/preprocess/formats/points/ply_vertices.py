"""The vertices of a PLY file, ASCII or binary; faces behind them are not decoded.

Format: Greg Turk, "The PLY Polygon File Format" (1994).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array

_MAX_HEADER_BYTES = 65_536
_SCALARS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
"""Names of PLY's types -> NumPy's."""
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class _Element:
    name: str
    count: int
    types: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def read_vertices(data: bytes, check: Callable[[int], None]) -> Array:
    """Read ``x``, ``y`` and ``z`` of the vertices.

    Args:
        data: The file.
        check: A callback that gets the declared number of vertices before the data is read.

    Returns:
        The vertices, float64 (count, 3).

    Raises:
        UndecodableError: The header or the data is damaged, or the data shorter than declared.
        InvalidInputError: The first element has no vertices with ``x``, ``y`` and ``z``.
    """
    lines, body = _split_header(data)
    order = _BYTE_ORDERS.get(_form(lines))
    if order is None:
        raise UndecodableError("expected a PLY file beginning with the lines 'ply' and 'format'")
    elements = _elements(lines[2:])
    if not elements or elements[0].name != "vertex":
        raise InvalidInputError("expected a PLY file whose first element is 'vertex'")
    vertex = elements[0]
    check(vertex.count)
    if vertex.count < 1:
        raise InvalidInputError("a point cloud needs at least 1 point")
    if not {"x", "y", "z"} <= set(vertex.names) or "list" in vertex.types:
        raise InvalidInputError("expected PLY vertices of scalar properties, x, y and z among them")
    axes = [vertex.names.index(axis) for axis in "xyz"]
    return _binary(body, vertex, axes, order) if order else _text(body, vertex, axes)


def _form(lines: list[str]) -> str:
    """Return the word behind ``format``, or nothing if it is not where it should be."""
    words = lines[1].split() if len(lines) > 2 and lines[0] == "ply" else []
    return words[1] if len(words) == 3 and words[0] == "format" else ""


def _split_header(data: bytes) -> tuple[list[str], bytes]:
    end = data.find(b"end_header", 0, _MAX_HEADER_BYTES)
    stop = data.find(b"\n", end)
    if end < 0 or stop < 0:
        raise UndecodableError("the PLY file has no end_header line")
    try:
        text = data[:end].decode("ascii")
    except UnicodeDecodeError as error:
        raise UndecodableError("the PLY header is not ASCII text") from error
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [x for x in lines if x and not x.startswith(("comment", "obj_info"))], data[stop + 1 :]


def _elements(lines: list[str]) -> list[_Element]:
    elements: list[_Element] = []
    for line in lines:
        match line.split():
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(_Element(name, int(count)))
            case ["property", kind, name] if elements and kind in _SCALARS:
                elements[-1].types.append(kind)
                elements[-1].names.append(name)
            case ["property", "list", _, _, name] if elements:
                elements[-1].types.append("list")
                elements[-1].names.append(name)
            case _:
                raise UndecodableError(f"the PLY header has an unknown line: {line[:60]!r}")
    return elements


def _text(body: bytes, vertex: _Element, axes: list[int]) -> Array:
    lines = body.split(b"\n", vertex.count)[: vertex.count]
    if len(lines) < vertex.count or not lines[-1].strip():
        raise UndecodableError(f"the PLY file is truncated: {vertex.count:,} vertices declared")
    try:
        text = io.StringIO(b"\n".join(lines).decode("ascii"))
        values = np.loadtxt(text, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise UndecodableError("the PLY file is damaged or truncated") from error
    if values.shape != (vertex.count, len(vertex.names)):
        raise UndecodableError(
            f"the PLY file is damaged: {vertex.count:,} vertices of {len(vertex.names)} values "
            f"declared, {len(values):,} of {values.shape[1]} found"
        )
    return np.asarray(values[:, axes])


def _binary(body: bytes, vertex: _Element, axes: list[int], order: str) -> Array:
    # Fields are numbered: a name may occur twice.
    row = np.dtype([(str(i), order + _SCALARS[kind]) for i, kind in enumerate(vertex.types)])
    size = vertex.count * row.itemsize
    if len(body) < size:
        raise UndecodableError(
            f"the PLY file is truncated: {size:,} bytes of vertices declared, {len(body):,} follow"
        )
    values = np.frombuffer(body, row, vertex.count)
    return np.stack([values[str(axis)].astype(np.float64) for axis in axes], axis=1)
