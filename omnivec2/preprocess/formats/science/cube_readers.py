"""Readers of hyperspectral files: bytes -> an array in the file's own order of axes.

Every reader compares the sizes that the file declares with the limits before the format's
library decodes.
"""

from __future__ import annotations

import io
import math
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.science.matlab_file import MATLAB_5, MatlabFile
from omnivec2.preprocess.formats.science.npy import MAGIC as NPY_MAGIC
from omnivec2.preprocess.formats.science.npy import read_npy
from omnivec2.spec import Limits

_MATLAB_73 = b"MATLAB 7.3 MAT-file"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_ZIP_MEMBERS = 32
_MAX_HEADER_BYTES = 2**20

# Raised by the codecs on damaged files; a Warning only where warnings are errors.
_DAMAGE_ERRORS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, OSError,
    RuntimeError, AssertionError, MemoryError, ZeroDivisionError, NotImplementedError,
    struct.error, zlib.error, zipfile.BadZipFile, Warning,
)  # fmt: skip


def sniff_cube(data: bytes) -> str | None:
    """Detect the content type of a cube by its first bytes, or return None."""
    if data.startswith(b"PK\x03\x04"):
        return "application/zip"
    if data.startswith((MATLAB_5, _MATLAB_73, b"\x89HDF\r\n")):
        return "application/x-matlab-data"
    if data.startswith(_TIFF):
        return "image/tiff"
    if data.startswith(NPY_MAGIC):
        return "application/x-npy"
    return "application/json" if data.lstrip()[:1] in (b"[", b"{") else None


def read_envi(data: bytes, limits: Limits, bands: int) -> Array:
    """Read an ENVI cube (BSQ, BIL or BIP): a ZIP of one ``.hdr`` file and its data file."""
    import spectral.io.envi
    from spectral.io.spyfile import SpyException

    try:
        header, cube = _unzip_envi(data, limits)
        # The library needs paths. Names from the archive are never used as file names.
        with tempfile.TemporaryDirectory(prefix="envi-") as folder:
            paths = Path(folder) / "cube.hdr", Path(folder) / "cube.img"
            paths[0].write_bytes(header)
            paths[1].write_bytes(cube)
            fields = spectral.io.envi.read_envi_header(str(paths[0]))
            _check_envi(fields, len(cube), limits, bands)
            image = spectral.io.envi.open(str(paths[0]), str(paths[1]))
            return np.array(image.open_memmap(interleave="bip"))
    except (SpyException, *_DAMAGE_ERRORS) as error:
        raise UndecodableError("the ENVI archive is damaged or its header unreadable") from error


def _unzip_envi(data: bytes, limits: Limits) -> tuple[bytes, bytes]:
    """Unpack the header and the data of the archive, never more bytes than the limits."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX")
        ]
        if len(members) > _MAX_ZIP_MEMBERS:
            raise TooLargeError(f"the ZIP holds more than {_MAX_ZIP_MEMBERS} files")
        headers = [member for member in members if member.filename.lower().endswith(".hdr")]
        if len(headers) != 1:
            raise InvalidInputError(f"expected a ZIP with one .hdr file, got {len(headers)}")
        stem = headers[0].filename[:-4].lower()
        cubes = [
            member
            for member in members
            if member is not headers[0]
            and re.split(r"\.[^./]*$", member.filename.lower())[0]
            in (stem, re.split(r"\.[^./]*$", stem)[0])
        ]
        if len(cubes) != 1:
            raise InvalidInputError(
                f"expected a ZIP with one data file named like the .hdr file, got {len(cubes)}"
            )
        if headers[0].file_size > _MAX_HEADER_BYTES:
            raise TooLargeError(f"the ENVI header is larger than {_MAX_HEADER_BYTES:,} bytes")
        if cubes[0].file_size > limits.decoded_bytes:
            raise TooLargeError(
                f"the ZIP unpacks to {cubes[0].file_size:,} bytes, "
                f"the limit is {limits.decoded_bytes:,}"
            )
        # Reading stops at the declared size, so declaring too little gains nothing.
        text = archive.read(headers[0]).decode("utf-8", errors="strict")
        # The library warns about capital letters in field names and then ignores them.
        text = re.sub(r"^[^={}\n]+=", lambda name: name[0].lower(), text, flags=re.MULTILINE)
        return text.encode(), archive.read(cubes[0])


def _check_envi(fields: dict[str, str], size: int, limits: Limits, bands: int) -> None:
    lines, samples, depth = (int(fields[key]) for key in ("lines", "samples", "bands"))
    offset = int(fields.get("header offset", "0"))
    if min(lines, samples, depth) < 1 or offset < 0:
        raise InvalidInputError("the ENVI header declares an impossible size")
    if str(fields.get("file compression", "0")).strip() not in ("", "0"):
        raise InvalidInputError("compressed ENVI data is not supported; save it uncompressed")
    _check_shape((lines, samples, depth), limits, bands)
    if fields["interleave"].lower() not in ("bsq", "bil", "bip"):
        raise InvalidInputError("expected the interleave bsq, bil or bip in the ENVI header")
    import spectral.io.envi

    item = np.dtype(spectral.io.envi.envi_to_dtype[fields["data type"]])
    if item.kind not in "iuf":
        raise InvalidInputError("expected real numbers in the ENVI data")
    declared = lines * samples * depth * item.itemsize + offset
    if size < declared:
        raise UndecodableError(
            f"the ENVI data is truncated: {declared:,} bytes declared, {size:,} found"
        )


def read_matlab(data: bytes, limits: Limits, bands: int) -> Array:
    """Read the numeric variable of a MATLAB 5 file whose shape fits, the largest of several."""
    if data.startswith((_MATLAB_73, b"\x89HDF\r\n")):
        raise UndecodableError(
            "MATLAB 7.3 (HDF5) files are not supported; save with '-v7' or older, or as NPY"
        )
    if not data.startswith(MATLAB_5):
        raise UndecodableError("expected a MATLAB 5 .mat file")
    file = MatlabFile(data, limits.decoded_bytes)
    fitting = [
        (math.prod(variable.shape), variable.name, variable)
        for variable in file.variables
        if variable.is_numeric
        and len(variable.shape) in (2, 3)
        and bands in (variable.shape[0], variable.shape[-1])
    ]
    if not fitting:
        found = ", ".join(f"{v.name} {v.shape}" for v in file.variables[:8]) or "nothing"
        raise InvalidInputError(
            f"expected a numeric variable (height, width, {bands}), the file has {found}"
        )
    size, _, variable = max(fitting, key=lambda item: item[:2])
    if size * np.dtype(variable.kind).itemsize > limits.decoded_bytes:
        raise TooLargeError(
            f"variable {variable.name} has {size:,} values of class {variable.kind}"
        )
    _check_pixels(size // bands, limits)
    return file.read(variable)


def read_tiff(data: bytes, limits: Limits, bands: int) -> Array:
    """Read the first image of a TIFF or GeoTIFF file, its bands as samples or as pages."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = file.series[0]
            if series.dtype.kind not in "iuf":
                raise InvalidInputError("expected real numbers in the TIFF file")
            shape = tuple(size for size in series.shape if size != 1) or (1,)
            _check_shape(shape, limits, bands)
            page = series.keyframe
            tile = math.prod(page.chunks) * series.dtype.itemsize
            if max(series.nbytes, tile) > limits.decoded_bytes:
                raise TooLargeError(
                    f"the TIFF file declares more than {limits.decoded_bytes:,} bytes"
                )
            _check_segments(series, len(data))
            return np.asarray(series.asarray(maxworkers=1)).reshape(shape)
    except _DAMAGE_ERRORS as error:
        raise UndecodableError("the TIFF file is damaged or of an unknown kind") from error


def _check_segments(series: Any, size: int) -> None:
    """Refuse files that end before their pixels do; the library would fill in zeros."""
    for page in series.pages:
        frame = series.keyframe if page is None else page
        ends = [o + n for o, n in zip(frame.dataoffsets, frame.databytecounts, strict=True)]
        if not ends or max(ends) > size or 0 in frame.databytecounts:
            raise UndecodableError("the TIFF file is truncated")


def read_array(data: bytes, limits: Limits, bands: int) -> Array:
    """Read an NPY file of shape (height, width, bands), (spectra, bands) or (bands,)."""
    array = read_npy(data, limits.decoded_bytes)
    _check_shape(array.shape, limits, bands)
    return array


def _check_shape(shape: tuple[int, ...], limits: Limits, bands: int) -> None:
    if not shape or bands not in (shape[0], shape[-1]):
        raise InvalidInputError(f"expected {bands} bands, got an array of shape {shape}")
    _check_pixels(math.prod(shape) // bands, limits)


def _check_pixels(pixels: int, limits: Limits) -> None:
    if limits.pixels is not None and pixels > limits.pixels:
        raise TooLargeError(f"{pixels:,} pixels, the limit is {limits.pixels:,}")


READERS: dict[str, Callable[[bytes, Limits, int], Array]] = {
    "ENVI (header and data in a ZIP)": read_envi,
    "MATLAB .mat (version 5)": read_matlab,
    "GeoTIFF": read_tiff,
    "NPY": read_array,
}
