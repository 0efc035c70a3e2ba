"""The header of a PLY file, read before the file is decoded.

Format: Greg Turk, "The PLY Polygon File Format" (1994).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from omnivec2.errors import InvalidInputError, UndecodableError

_MAX_HEADER_BYTES = 65_536
_SCALAR_BYTES = {
    "char": 1, "uchar": 1, "int8": 1, "uint8": 1,
    "short": 2, "ushort": 2, "int16": 2, "uint16": 2,
    "int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4,
    "double": 8, "float64": 8,
}  # fmt: skip


@dataclass
class _Element:
    name: str
    count: int
    lines: list[str]
    types: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def extract_vertices(data: bytes, check: Callable[[int], None]) -> tuple[bytes, int]:
    """Cut a PLY file down to its vertices, so that faces cost nothing to decode.

    Args:
        data: The file.
        check: A callback that gets the declared number of vertices before the data is read.

    Returns:
        A PLY file of the ``vertex`` element alone, and its number of vertices.

    Raises:
        UndecodableError: the header is damaged, or the data is shorter than declared.
        InvalidInputError: the first element has no vertices with ``x``, ``y`` and ``z``.
    """
    lines, body = _split_header(data)
    if len(lines) < 3 or lines[0] != "ply" or not lines[1].startswith("format "):
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
    header = "\n".join([lines[0], lines[1], *vertex.lines, "end_header", ""]).encode()
    return header + _vertex_data(body, vertex, ascii_text="ascii" in lines[1]), vertex.count


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
                elements.append(_Element(name, int(count), [line]))
            case ["property", kind, name] if elements and kind in _SCALAR_BYTES:
                elements[-1].types.append(kind)
                elements[-1].names.append(name)
                elements[-1].lines.append(line)
            case ["property", "list", _, _, name] if elements:
                elements[-1].types.append("list")
                elements[-1].names.append(name)
            case _:
                raise UndecodableError(f"the PLY header has an unknown line: {line[:60]!r}")
    return elements


def _vertex_data(body: bytes, vertex: _Element, *, ascii_text: bool) -> bytes:
    if ascii_text:
        lines = body.split(b"\n", vertex.count)[: vertex.count]
        if len(lines) < vertex.count or not lines[-1].strip():
            raise UndecodableError(f"the PLY file is truncated: {vertex.count:,} vertices declared")
        return b"\n".join(lines) + b"\n"
    size = vertex.count * sum(_SCALAR_BYTES[kind] for kind in vertex.types)
    if len(body) < size:
        raise UndecodableError(
            f"the PLY file is truncated: {size:,} bytes of vertices declared, {len(body):,} follow"
        )
    return body[:size]
