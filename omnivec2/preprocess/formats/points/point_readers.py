"""Readers of point cloud files: bytes -> float64 or float32 (points, 3).

Every reader compares the count that the header declares with the limits before the
format's library decodes.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.points.ply_vertices import read_vertices
from omnivec2.preprocess.formats.science.npy import MAGIC as NPY_MAGIC
from omnivec2.preprocess.formats.science.npy import read_npy
from omnivec2.spec import Limits

PLY = "model/ply"
PCD = "application/x-pcd"
LAS = "application/vnd.las"
LAZ = "application/vnd.laszip"
TEXT = "text/plain"
NPY = "application/x-npy"

# Raised by numpy-based decoders on damaged files; a Warning only where warnings are errors.
_DAMAGE_ERRORS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError,
    RuntimeError, AssertionError, MemoryError, struct.error, Warning,
)  # fmt: skip


def sniff_points(data: bytes) -> str | None:
    """Detect the content type of a point cloud by its first bytes, or return None."""
    head = data[:512]
    if head.startswith(b"ply") and head[3:4] in (b"\n", b"\r"):
        return PLY
    if head.startswith(b"# .PCD") or head.lstrip().startswith((b"VERSION", b"FIELDS")):
        return PCD
    if head.startswith(b"LASF"):
        # LASzip marks compression in the top bits of the point format (byte 104).
        return LAZ if len(head) > 104 and head[104] & 0xC0 else LAS
    if head.startswith(NPY_MAGIC):
        return NPY
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"[", b"{"):
        return "application/json"
    return TEXT if text[:1] and text[:1] in b"0123456789-+.#/" and b"\0" not in head else None


def read_ply(data: bytes, limits: Limits) -> Array:
    """Read ``x``, ``y``, ``z`` of the ``vertex`` element of a PLY file, ASCII or binary."""
    return read_vertices(data, lambda count: _check_points(count, limits))


def read_pcd(data: bytes, limits: Limits) -> Array:
    """Read the ``x``, ``y``, ``z`` fields of a PCD file, ASCII, binary or compressed."""
    from pypcd4.pypcd4 import Encoding, MetaData, PointCloud

    end = data.find(b"\nDATA ", 0, 65_536) + 1
    start = data.find(b"\n", end) + 1
    if not end or not start:
        raise UndecodableError("expected a PCD file with a header that ends in a DATA line")
    try:
        lines = data[:start].decode("ascii").splitlines()
        header = MetaData.parse_header(lines)
        if not {"x", "y", "z"} <= set(header.fields):
            raise InvalidInputError(f"expected PCD fields x, y, z, got {' '.join(header.fields)}")
        _check_points(header.points, limits)
        if sum(header.count) > 4096:
            raise TooLargeError("the PCD file declares more than 4,096 values per point")
        declared = header.points * header.build_dtype().itemsize
        if declared > limits.decoded_bytes:
            raise TooLargeError(f"the PCD file declares {declared:,} bytes of points")
        if header.data not in (Encoding.ASCII, Encoding.BINARY):
            packed, unpacked = struct.unpack("<II", data[start : start + 8])
            if unpacked != declared or packed > len(data) - start - 8:
                raise UndecodableError("the PCD file's compressed block has impossible sizes")
        cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(data)))
        points = np.asarray(cloud.numpy(("x", "y", "z")), dtype=np.float64)
    except _DAMAGE_ERRORS as error:
        raise UndecodableError("the PCD file is damaged or truncated") from error
    if points.shape != (header.points, 3):
        raise UndecodableError(
            f"the PCD file is truncated: {header.points:,} points declared, {len(points):,} found"
        )
    return points


def read_las(data: bytes, limits: Limits) -> Array:
    """Read a LAS or LAZ file, 1.2 to 1.4, scaled to its map units."""
    import laspy

    _check_las_header(data)
    try:
        with laspy.open(io.BytesIO(data), read_evlrs=False) as reader:
            header = reader.header
            count, item = int(header.point_count), int(header.point_format.size)
            _check_points(count, limits)
            if count < 1:
                raise InvalidInputError("a point cloud needs at least 1 point")
            if count * item > limits.decoded_bytes:
                raise TooLargeError(f"the LAS file declares {count * item:,} bytes of points")
            if header.are_points_compressed:
                return _read_laz(data, count)
            if count * item > len(data) - header.offset_to_point_data:
                raise UndecodableError(f"the LAS file is truncated: {count:,} points declared")
            points = reader.read_points(count)
            return np.stack([points.x, points.y, points.z], axis=1)
    except (laspy.LaspyException, *_DAMAGE_ERRORS) as error:
        raise UndecodableError("the LAS or LAZ file is damaged or truncated") from error


def _read_laz(data: bytes, count: int) -> Array:
    """Decompress in a separate process, for the reasons given in ``laz_worker``."""
    command = [sys.executable, "-I", str(Path(__file__).with_name("laz_worker.py"))]
    try:
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            check=True,
            timeout=_LAZ_TIMEOUT_S,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
        )
    except subprocess.SubprocessError as error:
        raise UndecodableError("the LAZ file is damaged or truncated") from error
    points = np.frombuffer(done.stdout, dtype="<f8")
    if points.size != 3 * count:
        raise UndecodableError(f"the LAZ file is truncated: {count:,} points declared")
    return points.reshape(-1, 3)


_LAZ_TIMEOUT_S = 30
_LAS_HEADER_BYTES = 227
_MAX_LAS_RECORDS = 1024


def _check_las_header(data: bytes) -> None:
    """Refuse a header with impossible sizes; the library does not check them.

    Source: LAS 1.2 to 1.4, public header block: header size (uint16 at 94), offset of
    the points (uint32 at 96), number of variable length records (uint32 at 100).
    """
    if not data.startswith(b"LASF") or len(data) < _LAS_HEADER_BYTES:
        raise UndecodableError("expected a LAS or LAZ file with a complete header")
    header, offset, records = struct.unpack_from("<HII", data, 94)
    if not _LAS_HEADER_BYTES <= header <= offset <= len(data):
        raise UndecodableError("the LAS header's offsets lie outside of the file")
    if records > _MAX_LAS_RECORDS or header + 54 * records > offset:
        raise UndecodableError(f"the LAS header declares {records:,} records, too many for it")


def read_text(data: bytes, limits: Limits) -> Array:
    """Read XYZ text: one point per line, its first three numbers; commas or spaces.

    Comments start with ``#``. A first line of column names, or of a single count (PTS), is
    skipped.
    """
    _check_points(data.count(b"\n"), limits)
    try:
        text = data.decode("utf-8-sig").replace(",", " ").replace(";", " ").replace("//", "#")
        lines = [line for line in text.splitlines() if line.split("#", 1)[0].strip()]
        if lines and _is_heading(lines[0]):
            del lines[0]
        if not lines:
            raise InvalidInputError("a point cloud needs at least 1 point")
        return np.loadtxt(lines, dtype=np.float64, usecols=(0, 1, 2), ndmin=2)
    except _DAMAGE_ERRORS as error:
        raise UndecodableError(
            "expected text with one point per line, at least three numbers each"
        ) from error


def _is_heading(line: str) -> bool:
    words = line.split("#", 1)[0].split()
    return (len(words) == 1 and words[0].isdigit()) or all(word[0].isalpha() for word in words[:3])


def read_array(data: bytes, limits: Limits) -> Array:
    """Read an NPY file (points, 3 or more); the first three columns are the coordinates."""
    array = read_npy(data, limits.decoded_bytes)
    if array.ndim != 2 or array.shape[1] < 3:
        raise InvalidInputError(f"expected an array of shape (points, 3), got {array.shape}")
    _check_points(len(array), limits)
    return array[:, :3]


def _check_points(count: int, limits: Limits) -> None:
    if limits.points is not None and count > limits.points:
        raise TooLargeError(f"the file has {count:,} points, the limit is {limits.points:,}")


READERS: dict[str, Callable[[bytes, Limits], Array]] = {
    "PLY": read_ply,
    "PCD": read_pcd,
    "LAS": read_las,
    "LAZ": read_las,
    "XYZ": read_text,
    "NPY": read_array,
}
