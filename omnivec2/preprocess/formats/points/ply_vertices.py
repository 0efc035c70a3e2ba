"""The vertices of a PLY file, ASCII or binary; faces behind them are not decoded.

Format: Greg Turk, "The PLY Polygon File Format" (1994).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.points.point_columns import Axes, find_axes
from omnivec2.preprocess.notes import NoteCode, note

_MAX_HEADER_BYTES = 65_536
_MOST_LISTS = 2_000_000
"""Rows with lists must be walked one by one; more of them would take seconds."""

_SCALARS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "long": "i8", "int64": "i8", "ulong": "u8", "uint64": "u8",
    "half": "f2", "float16": "f2", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
"""Names of PLY's types -> NumPy's."""
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_VERTEX_NAMES = ("vertex", "vertices", "point", "points")


@dataclass
class _Element:
    """An element: its rows, and for every property its type; lists have that of their length."""

    name: str
    count: int
    types: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lengths: list[str | None] = field(default_factory=list)

    def add(self, name: str, kind: str, length: str | None = None) -> None:
        self.names.append(name)
        self.types.append(_SCALARS[kind])
        self.lengths.append(None if length is None else _SCALARS[length])

    @property
    def has_lists(self) -> bool:
        return any(length is not None for length in self.lengths)


def read_vertices(data: bytes, check: Callable[[int], None]) -> Array:
    """Read ``x``, ``y`` and ``z`` of the vertices, wherever they stand in the file.

    Args:
        data: The file.
        check: A callback that gets the declared number of vertices before the data is read.

    Returns:
        The vertices, float64 (count, 3).

    Raises:
        UndecodableError: The header or the data is damaged, or the data shorter than declared.
        InvalidInputError: No element has vertices with ``x``, ``y`` and ``z``.
    """
    file = _read_header(data)
    check(file.vertex.count)
    if file.vertex.count < 1:
        raise InvalidInputError("a point cloud needs at least 1 point")
    axes = find_axes(file.scalar_names)
    if axes is None:
        raise InvalidInputError("expected PLY vertices of scalar properties, x, y and z among them")
    if any(each.name.lower() in ("face", "faces") and each.count for each in file.elements):
        note(NoteCode.IGNORED, "the faces of the mesh are not used, only its vertices")
    return axes.scaled(file.read(axes))


def read_vertex_property(data: bytes, choose: Callable[[list[str]], str]) -> Array:
    """Read one property of the vertices, such as their labels.

    Args:
        data: The file.
        choose: A callback that gets the names of the properties and returns one of them.

    Returns:
        The values, float64 (count,).

    Raises:
        UndecodableError: The header or the data is damaged, or the data shorter than declared.
        InvalidInputError: No element has vertices.
    """
    file = _read_header(data)
    names = file.scalar_names
    column = names.index(choose([name for name in names if name]))
    return np.asarray(file.read(Axes((column, column, column)))[:, 0])


@dataclass(frozen=True)
class _File:
    """A file whose header is read: its elements, the number of that of vertices, and its data."""

    elements: list[_Element]
    index: int
    order: str
    body: bytes

    @property
    def vertex(self) -> _Element:
        return self.elements[self.index]

    @property
    def scalar_names(self) -> list[str]:
        """The names of the properties; nothing for those that are lists."""
        pairs = zip(self.vertex.names, self.vertex.lengths, strict=True)
        return [name if length is None else "" for name, length in pairs]

    def read(self, axes: Axes) -> Array:
        """Read three properties of the vertices, float64 (count, 3)."""
        before = self.elements[: self.index]
        if self.order:
            body = _skip_binary(self.body, before, self.order)
            return _binary(body, self.vertex, axes.columns, self.order)
        return _text(self.body, self.vertex, axes, sum(each.count for each in before))


def _read_header(data: bytes) -> _File:
    lines, body = _split_header(data)
    order = _BYTE_ORDERS.get(_form(lines))
    if order is None:
        raise UndecodableError("expected a PLY file beginning with the lines 'ply' and 'format'")
    elements = _elements([line for line in lines[1:] if not line.lower().startswith("format")])
    index = next((i for i, e in enumerate(elements) if e.name.lower() in _VERTEX_NAMES), None)
    if index is None:
        raise InvalidInputError("expected a PLY file with an element 'vertex'")
    return _File(elements, index, order, body)


def _form(lines: list[str]) -> str:
    """Return the word behind ``format``, or nothing if there is none."""
    if len(lines) < 2 or lines[0].lower() != "ply":
        return ""
    words = (line.lower().split() for line in lines[1:])
    return next((each[1] for each in words if each[0] == "format" and len(each) == 3), "")


def _split_header(data: bytes) -> tuple[list[str], bytes]:
    """Return the lines of the header but comments, and what follows it."""
    end = data.find(b"end_header", 0, _MAX_HEADER_BYTES)
    # Lines may end in CR alone, as old programs for the Macintosh wrote them.
    mark = b"\n" if b"\n" in data[: max(end, 0)] else b"\r"
    stop = data.find(mark, end)
    if end < 0 or stop < 0:
        raise UndecodableError("the PLY file has no end_header line")
    text = data[:end].decode("utf-8", errors="replace")
    lines = [" ".join(line.split()) for line in text.replace("\r", "\n").split("\n")]
    comments = ("comment", "obj_info")
    return [x for x in lines if x and not x.lower().startswith(comments)], data[stop + 1 :]


def _elements(lines: list[str]) -> list[_Element]:
    elements: list[_Element] = []
    for line in lines:
        words = line.split()
        match [word.lower() for word in words]:
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(_Element(name, int(count)))
            case ["property", kind, _] if elements and kind in _SCALARS:
                elements[-1].add(words[2], kind)
            case ["property", "list", length, kind, _] if (
                elements and kind in _SCALARS and _SCALARS.get(length, "f")[0] in "iu"
            ):
                elements[-1].add(words[4], kind, length)
            case _:
                raise UndecodableError(f"the PLY header has an unknown line: {line[:60]!r}")
    return elements


def _text(body: bytes, vertex: _Element, axes: Axes, before: int) -> Array:
    """Read rows of text; ``before`` rows of other elements come first."""
    content = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = content.split(b"\n", before + vertex.count)[before : before + vertex.count]
    if len(lines) < vertex.count or not lines[-1].strip():
        raise UndecodableError(f"the PLY file is truncated: {vertex.count:,} vertices declared")
    text = b"\n".join(lines)
    if b"," in text:
        # Programs that print in the language of their user write 0,5 for 0.5.
        note(NoteCode.GUESSED, "commas were read as decimal marks")
        text = text.replace(b",", b".")
    if vertex.has_lists:
        return _rows_with_lists(text.split(b"\n"), vertex, axes)
    try:
        values = np.loadtxt(
            io.StringIO(text.decode("ascii")), dtype=np.float64, comments=None, ndmin=2
        )
    except ValueError as error:
        raise UndecodableError("the PLY file is damaged or truncated") from error
    if values.shape != (vertex.count, len(vertex.names)):
        raise UndecodableError(
            f"the PLY file is damaged: {vertex.count:,} vertices of {len(vertex.names)} values "
            f"declared, {len(values):,} of {values.shape[1]} found"
        )
    return np.asarray(values[:, axes.columns])


def _rows_with_lists(lines: list[bytes], vertex: _Element, axes: Axes) -> Array:
    points = np.empty((vertex.count, 3))
    try:
        for index, line in enumerate(lines):
            words, place, values = line.split(), 0, []
            for length in vertex.lengths:
                values.append(words[place])
                place += 1 if length is None else 1 + int(words[place])
            if place != len(words):
                raise ValueError("a row of other length than its lists say")
            points[index] = [float(values[column]) for column in axes.columns]
    except (ValueError, IndexError) as error:
        raise UndecodableError("the PLY file is damaged or truncated") from error
    return points


def _binary(body: bytes, vertex: _Element, columns: tuple[int, int, int], order: str) -> Array:
    if vertex.has_lists:
        return _walk(body, vertex, order, columns)[1]
    # Fields are numbered: a name may occur twice.
    row = np.dtype([(str(i), order + kind) for i, kind in enumerate(vertex.types)])
    size = vertex.count * row.itemsize
    if len(body) < size:
        raise UndecodableError(
            f"the PLY file is truncated: {size:,} bytes of vertices declared, {len(body):,} follow"
        )
    values = np.frombuffer(body, row, vertex.count)
    return np.stack([values[str(axis)].astype(np.float64) for axis in columns], axis=1)


def _skip_binary(body: bytes, elements: Sequence[_Element], order: str) -> bytes:
    """Return what follows the rows of some elements."""
    for element in elements:
        if element.has_lists:
            stop = _walk(body, element, order)[0]
        else:
            stop = element.count * sum(np.dtype(kind).itemsize for kind in element.types)
        if stop > len(body):
            raise UndecodableError(f"the PLY file is truncated within its {element.name!r}")
        body = body[stop:]
    return body


def _walk(
    body: bytes, element: _Element, order: str, columns: Sequence[int] = ()
) -> tuple[int, Array]:
    """Pass over rows with lists; return where they end, and the values of some properties."""
    if element.count * len(element.types) > _MOST_LISTS:
        raise TooLargeError(f"the PLY file has lists in more than {_MOST_LISTS:,} values")
    kinds = [np.dtype(order + kind) for kind in element.types]
    lengths = [None if kind is None else np.dtype(order + kind) for kind in element.lengths]
    found = np.empty((element.count if columns else 0, len(columns)))
    place = 0
    try:
        for row in range(element.count):
            starts = []
            for kind, length in zip(kinds, lengths, strict=True):
                starts.append(place)
                if length is None:
                    place += kind.itemsize
                else:
                    items = int(np.frombuffer(body, length, 1, place)[0])
                    place += length.itemsize + max(items, 0) * kind.itemsize
            for index, column in enumerate(columns):
                found[row, index] = np.frombuffer(body, kinds[column], 1, starts[column])[0]
    except ValueError as error:
        raise UndecodableError(f"the PLY file is truncated within its {element.name!r}") from error
    return place, found
