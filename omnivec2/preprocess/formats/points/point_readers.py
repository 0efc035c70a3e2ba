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
from omnivec2.preprocess.formats.points.mesh_vertices import (
    is_obj,
    is_off,
    is_stl,
    read_obj,
    read_off,
    read_stl,
)
from omnivec2.preprocess.formats.points.pcd_points import is_pcd, read_pcd
from omnivec2.preprocess.formats.points.ply_vertices import read_vertices
from omnivec2.preprocess.formats.points.point_archives import read_archive
from omnivec2.preprocess.formats.points.point_arrays import points_of_array
from omnivec2.preprocess.formats.points.point_text import read_point_text
from omnivec2.preprocess.formats.science.npy import MAGIC as NPY_MAGIC
from omnivec2.preprocess.formats.science.npy import read_npy
from omnivec2.preprocess.formats.science.npz import is_npz
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

PLY = "model/ply"
PCD = "application/x-pcd"
LAS = "application/vnd.las"
LAZ = "application/vnd.laszip"
TEXT = "text/plain"
NPY = "application/x-npy"
NPZ = "application/x-npz"
OFF = "model/off"
OBJ = "model/obj"
STL = "model/stl"

_HEAD_BYTES = 4096
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b\x1a")
_OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive (3MF)",
    b"\x1f\x8b": "a compressed file",
    b"glTF": "glTF",
    b"ASTM-E57": "E57",
    b"\x89HDF": "HDF5",
    b"Kaydara FBX": "FBX",
    b"#ROSBAG": "a ROS bag",
    b"# vtk": "VTK",
    b"DRACO": "Draco",
    b"<": "XML",
}

# Raised by numpy-based decoders on damaged files; a Warning only where warnings are errors.
_DAMAGE_ERRORS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError,
    RuntimeError, AssertionError, MemoryError, struct.error, Warning,
)  # fmt: skip


def sniff_points(data: bytes) -> str | None:
    """Detect the content type of a point cloud by its first bytes, or return None.

    Any text is taken for points as text: what is wrong with it is said when it is read.
    """
    head = data[:_HEAD_BYTES]
    if head[:3].lower() == b"ply" and head[3:4] in (b"\n", b"\r", b" "):
        return PLY
    if head.startswith(b"LASF"):
        # LASzip marks compression in the top bits of the point format (byte 104).
        return LAZ if len(head) > 104 and head[104] & 0xC0 else LAS
    if head.startswith(NPY_MAGIC):
        return NPY
    if is_npz(data):
        return NPZ
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"[", b"{"):
        return "application/json"
    known = ((is_pcd, PCD), (is_off, OFF), (is_obj, OBJ))
    found = next((kind for is_one, kind in known if is_one(text)), None)
    if found is None and is_stl(data):
        return STL
    return found or (TEXT if _is_text(text) else None)


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return bool(head) and not head.startswith(b"PK\x03\x04") and not _CONTROLS & set(head)


def refuse_other_formats(data: bytes) -> None:
    """Refuse a file of a format that is not read, by its name.

    Raises:
        UndecodableError: It is one; the message says how to convert it.
    """
    for magic, name in _OTHER_FORMATS.items():
        if data.startswith(magic) and not is_npz(data):
            raise UndecodableError(
                f"unsupported: {name}; convert it to PLY, e.g. with CloudCompare or Open3D",
                field="inputs",
            )
    if data and len(data) % 16 == 0 and sniff_points(data) is None:
        values = np.frombuffer(data[:_HEAD_BYTES], "<f4")
        if np.isfinite(values).all() and np.abs(values).max() < 1e4:
            raise UndecodableError(
                "unsupported: numbers without a header (KITTI and nuScenes write such .bin files); "
                "save them as NPY: numpy.save(name, points[:, :3])",
                field="inputs",
            )


def read_ply(data: bytes, limits: Limits) -> Array:
    """Read ``x``, ``y``, ``z`` of the ``vertex`` element of a PLY file, ASCII or binary."""
    return read_vertices(data, lambda count: _check_points(count, limits))


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
            if not np.all(header.scales > 0):
                raise UndecodableError(
                    "the LAS header is damaged: the scales of its coordinates are "
                    f"{', '.join(f'{scale:g}' for scale in header.scales)}; expected positive ones"
                )
            _note_degrees(header.scales, header.mins, header.maxs)
            if header.are_points_compressed:
                return _read_laz(data, count)
            if count * item > len(data) - header.offset_to_point_data:
                raise UndecodableError(f"the LAS file is truncated: {count:,} points declared")
            points = reader.read_points(count)
            return np.stack([points.x, points.y, points.z], axis=1)
    except (laspy.LaspyException, *_DAMAGE_ERRORS) as error:
        raise UndecodableError("the LAS or LAZ file is damaged or truncated") from error


def _note_degrees(scales: Array, lowest: Array, highest: Array) -> None:
    """Note a file whose x and y are longitude and latitude, by the step and range it declares."""
    fine = max(scales[:2]) <= _FINEST_MAP_STEP
    if fine and max(*-lowest[:2], *highest[:2]) <= 180.0 and max(-lowest[1], highest[1]) <= 90.0:
        note(
            NoteCode.UNUSUAL,
            "x and y look like degrees, which distorts the cloud; project them to metres first",
        )


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
_FINEST_MAP_STEP = 1e-6
"""Maps in metres are stored in steps of a millimetre or so; degrees in far finer ones."""

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
    """Read XYZ, PTS or CSV text: one point per line; see :mod:`.point_text`."""
    _check_points(max(data.count(b"\n"), data.count(b"\r")), limits)
    return read_point_text(data)


def read_array(data: bytes, limits: Limits) -> Array:
    """Read an NPY file (points, 3 or more), (3, points) or of records with fields x, y, z."""
    points = points_of_array(read_npy(data, limits.decoded_bytes, records=True))
    _check_points(len(points), limits)
    return points


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
    "NPZ": read_archive,
    "OFF": read_off,
    "OBJ": read_obj,
    "STL": read_stl,
}
