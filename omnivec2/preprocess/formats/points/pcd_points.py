"""The points of a PCD file: ASCII, binary or compressed.

Format: "The PCD (Point Cloud Data) file format", Point Cloud Library.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import CODEC_ERRORS
from omnivec2.preprocess.formats.points.point_columns import Axes, find_axes
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_DATA_LINE = re.compile(rb"^[ \t]*DATA[ \t]+(\w+)[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)
_MAX_HEADER_BYTES = 65_536
_MOST_VALUES = 4_096
_NO_LIMITS = Limits(decoded_bytes=2**40)
_IDENTITY = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Header:
    """What a header declares: names, and NumPy types of one value, of fields with their counts."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    counts: tuple[int, ...]
    points: int

    @property
    def starts(self) -> list[int]:
        """The first column of each field."""
        return [sum(self.counts[:index]) for index in range(len(self.counts))]

    @property
    def row(self) -> np.dtype[np.void]:
        fields = zip(self.types, self.counts, strict=True)
        return np.dtype([(str(i), kind, (count,)) for i, (kind, count) in enumerate(fields)])


def is_pcd(head: bytes) -> bool:
    """Whether a file's first bytes are those of PCD, comments and empty lines left out."""
    lines = re.split(rb"[\r\n]+", head)
    content = [
        line.strip() for line in lines if line.strip() and not line.lstrip().startswith(b"#")
    ]
    words = [line.split()[0].upper() for line in content[:3]]
    return head.startswith(b"# .PCD") or (
        bool(words) and words[0] in (b"VERSION", b"FIELDS", b"COLUMNS") and b"SIZE" in head.upper()
    )


def read_pcd(data: bytes, limits: Limits) -> Array:
    """Read the fields of coordinates: float64 (points, 3); NaN where nothing was seen.

    Raises:
        UndecodableError: The header or the data is damaged, or the data shorter than declared.
        InvalidInputError: No fields are coordinates.
        TooLargeError: More is declared than the limits allow.
    """
    return _read(data, limits, _find_coordinates)


def read_pcd_field(data: bytes, choose: Callable[[list[str]], str]) -> Array:
    """Read one field of every point, such as its label: float64 (points,).

    Args:
        data: The file.
        choose: A callback that gets the names of the fields and returns one of them.

    Raises:
        UndecodableError: The header or the data is damaged, or the data shorter than declared.
    """

    def find(names: Sequence[str]) -> Axes:
        column = names.index(choose(list(names)))
        return Axes((column, column, column))

    return np.asarray(_read(data, _NO_LIMITS, find)[:, 0])


def _find_coordinates(names: Sequence[str]) -> Axes:
    axes = find_axes(names)
    if axes is None:
        raise InvalidInputError(f"expected PCD fields x, y, z, got {' '.join(names)}")
    return axes


def _read(data: bytes, limits: Limits, find: Callable[[Sequence[str]], Axes]) -> Array:
    """Read the three fields that a callback finds among their names: float64 (points, 3)."""
    found = _DATA_LINE.search(data[:_MAX_HEADER_BYTES])
    if found is None:
        raise UndecodableError("expected a PCD file with a header that ends in a DATA line")
    form = found[1].lower().decode()
    try:
        header = _read_header(data[: found.start()].decode("utf-8", errors="replace"))
        _check(header, limits)
        axes = find(header.names)
        if form == "ascii":
            points = _ascii(data[found.end() :], header, axes)
        elif form == "binary":
            points = _binary(data[found.end() :], header, axes)
        elif form == "binary_compressed":
            points = _compressed(data[found.end() :], header, axes)
        else:
            raise UndecodableError(f"the PCD file has an unknown form of data: {form[:40]}")
    except CODEC_ERRORS as error:
        raise UndecodableError("the PCD file is damaged or truncated") from error
    if points.shape != (header.points, 3):
        raise UndecodableError(
            f"the PCD file is truncated: {header.points:,} points declared, {len(points):,} found"
        )
    return axes.scaled(points)


def _read_header(text: str) -> _Header:
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            entries[words[0].upper()] = words[1:]
    names = tuple(entries.get("FIELDS") or entries["COLUMNS"])
    sizes = [int(size) for size in entries.get("SIZE", ["4"] * len(names))]
    kinds = [kind.upper() for kind in entries.get("TYPE", ["F"] * len(names))]
    counts = tuple(int(count) for count in entries.get("COUNT", ["1"] * len(names)))
    if not len(names) == len(sizes) == len(kinds) == len(counts) or min(counts) < 0:
        raise UndecodableError("the PCD header has lines of different lengths")
    known = {"F": (2, 4, 8), "U": (1, 2, 4, 8), "I": (1, 2, 4, 8)}
    if any(size not in known.get(kind, ()) for kind, size in zip(kinds, sizes, strict=True)):
        raise UndecodableError("the PCD header declares a type that PCD does not have")
    width, height = (int(entries.get(key, ["1"])[0]) for key in ("WIDTH", "HEIGHT"))
    points = int(entries["POINTS"][0]) if "POINTS" in entries else width * height
    if points < 0:
        raise UndecodableError("the PCD header declares a negative number of points")
    view = tuple(map(float, entries.get("VIEWPOINT", ())))
    if view and view != _IDENTITY:
        note(
            NoteCode.IGNORED, "the file's viewpoint is not applied to the points", field="VIEWPOINT"
        )
    types = tuple(f"<{kind.lower()}{size}" for kind, size in zip(kinds, sizes, strict=True))
    return _Header(names, types, counts, points)


def _check(header: _Header, limits: Limits) -> None:
    if limits.points is not None and header.points > limits.points:
        raise TooLargeError(
            f"the file has {header.points:,} points, the limit is {limits.points:,}"
        )
    if sum(header.counts) > _MOST_VALUES:
        raise TooLargeError(f"the PCD file declares more than {_MOST_VALUES:,} values per point")
    declared = header.points * header.row.itemsize
    if declared > limits.decoded_bytes:
        raise TooLargeError(f"the PCD file declares {declared:,} bytes of points")


def _ascii(body: bytes, header: _Header, axes: Axes) -> Array:
    lines = [line for line in body.decode("ascii").splitlines() if line.strip()]
    if not lines:
        return np.empty((0, 3))
    columns = [header.starts[column] for column in axes.columns]
    text = io.StringIO("\n".join(lines[: header.points]))
    return np.loadtxt(text, dtype=np.float64, comments=None, usecols=columns, ndmin=2)


def _binary(body: bytes, header: _Header, axes: Axes) -> Array:
    rows = np.frombuffer(body, header.row, min(header.points, len(body) // header.row.itemsize))
    chosen = [rows[str(column)][:, 0].astype(np.float64) for column in axes.columns]
    return np.stack(chosen, axis=1)


def _compressed(body: bytes, header: _Header, axes: Axes) -> Array:
    """Read fields one after the other, which pypcd4 unpacks; it gets a header of our own."""
    from pypcd4.pypcd4 import PointCloud

    declared = header.points * header.row.itemsize
    packed, unpacked = struct.unpack("<II", body[:8])
    if unpacked != declared or packed > len(body) - 8:
        raise UndecodableError("the PCD file's compressed block has impossible sizes")
    names = [f"f{index}" for index in range(len(header.names))]
    lines = [
        "VERSION 0.7",
        f"FIELDS {' '.join(names)}",
        f"SIZE {' '.join(kind[2:] for kind in header.types)}",
        f"TYPE {' '.join(kind[1].upper() for kind in header.types)}",
        f"COUNT {' '.join(map(str, header.counts))}",
        f"WIDTH {header.points}",
        f"POINTS {header.points}",
        "DATA binary_compressed",
    ]
    plain = "".join(f"{line}\n" for line in lines).encode() + body
    cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(plain)))
    return np.asarray(cloud.numpy([names[c] for c in axes.columns]), dtype=np.float64)
