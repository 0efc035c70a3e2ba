"""Readers of hyperspectral files: bytes -> a :class:`Cube` in the file's own order of axes.

Every reader compares the sizes that the file declares with the limits before anything is
decoded.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.cubes.cube import Cube, check_pixels, find_bands
from omnivec2.preprocess.formats.cubes.envi_archive import (
    MAX_HEADER_BYTES,
    has_header,
    read_envi,
)
from omnivec2.preprocess.formats.cubes.wavelengths import Wavelengths, as_wavelengths
from omnivec2.preprocess.formats.guards.archives import open_zip
from omnivec2.preprocess.formats.science.matlab_file import (
    MATLAB_5,
    MatlabFile,
    MatlabVariable,
)
from omnivec2.preprocess.formats.science.npy import MAGIC as NPY_MAGIC
from omnivec2.preprocess.formats.science.npy import read_npy
from omnivec2.preprocess.formats.science.npz import NpzArray, is_npz, read_npz
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_PLAIN_CODINGS = frozenset({1, 5, 8, 32773, 32946})  # none, LZW, deflate, PackBits
NPZ = "application/x-npz"
_MATLAB_73 = b"MATLAB 7.3 MAT-file"
_HDF5 = b"\x89HDF\r\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_ZIP_MEMBERS = 64
_WAVELENGTH_NAMES = frozenset({"wavelength", "wavelengths", "wl", "wavelengths_nm", "lambda"})

# Raised by the codecs on damaged files; a Warning only where warnings are errors.
_DAMAGE_ERRORS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, OSError,
    RuntimeError, AssertionError, MemoryError, ZeroDivisionError, NotImplementedError,
    struct.error, zlib.error, Warning,
)  # fmt: skip


def sniff_cube(data: bytes) -> str | None:
    """Detect the content type of a cube by its first bytes, or return None."""
    if data.startswith(b"PK\x03\x04"):
        return NPZ if is_npz(data) else "application/zip"
    if data.startswith((MATLAB_5, _MATLAB_73, _HDF5)):
        return "application/x-matlab-data"
    if data.startswith(_TIFF):
        return "image/tiff"
    if data.startswith(NPY_MAGIC):
        return "application/x-npy"
    return "application/json" if data.lstrip()[:1] in (b"[", b"{") else None


def read_zip(data: bytes, limits: Limits, bands: int) -> Cube:
    """Read an archive of an ENVI header and its data, of NumPy arrays, or of one other cube."""
    if is_npz(data):
        return _read_npz(data, limits, bands)
    limit = max(limits.decoded_bytes, limits.bytes) + MAX_HEADER_BYTES
    with open_zip(data, limit, _MAX_ZIP_MEMBERS) as archive:
        if has_header(archive):
            return read_envi(archive, limits, bands)
        names = list(archive.sizes)
        if len(names) == 1:
            kind = _SINGLE_FILES.get(sniff_cube(archive.beginning(names[0], 128)) or "")
            if kind is not None:
                return kind(archive.read(names[0], limits.bytes), limits, bands)
        found = ", ".join(name[:40] for name in names[:8]) or "nothing"
        raise InvalidInputError(
            "expected a ZIP with an ENVI header (.hdr) and its data file, or with one .mat, .tif "
            f"or .npy file, got {found}",
            field="inputs",
        )


def _read_npz(data: bytes, limits: Limits, bands: int) -> Cube:
    """Read the fitting array of an ``.npz`` file, the largest of several."""

    def choose(arrays: Mapping[str, NpzArray]) -> str:
        fitting = {
            name: math.prod(array.shape)
            for name, array in arrays.items()
            if array.is_numeric and bands in array.shape and not _holds_wavelengths(name)
        }
        if not fitting:
            found = ", ".join(f"{a.name} {a.shape}" for a in list(arrays.values())[:8])
            raise InvalidInputError(
                f"expected an array of {bands} bands in the NPZ file (np.savez), "
                f"it has {found or 'nothing'}",
                field="inputs",
            )
        name = max(fitting, key=lambda n: (fitting[n], n))
        _note_others(name, [other for other in fitting if other != name])
        check_pixels(fitting[name] // bands, limits)
        return name

    def describes(array: NpzArray) -> bool:
        return _holds_wavelengths(array.name) and math.prod(array.shape) == bands

    values, others = read_npz(data, limits.decoded_bytes, choose, describes)
    return Cube(values, wavelengths_nm=as_wavelengths(next(iter(others.values()), None)))


def read_matlab(data: bytes, limits: Limits, bands: int) -> Cube:
    """Read the numeric variable of a MATLAB 5 file whose shape fits, the largest of several."""
    if data.startswith((_MATLAB_73, _HDF5)):
        raise UndecodableError(
            "HDF5 files (of MATLAB 7.3, too) are not supported; save with '-v7' or older, as NPY "
            "or as an ENVI pair in a ZIP",
            field="inputs",
        )
    if not data.startswith(MATLAB_5):
        raise UndecodableError("expected a MATLAB 5 .mat file", field="inputs")
    file = MatlabFile(data, limits.decoded_bytes)
    fitting = [
        (math.prod(variable.shape), variable.name, variable)
        for variable in file.variables
        if variable.is_numeric
        and len(variable.shape) in (2, 3)
        and bands in variable.shape
        and not _holds_wavelengths(variable.name)
    ]
    if not fitting:
        found = ", ".join(f"{v.name} {v.shape}" for v in file.variables[:8]) or "nothing"
        raise InvalidInputError(
            f"expected a numeric variable (height, width, {bands}), the file has {found}",
            field="inputs",
        )
    size, name, variable = max(fitting, key=lambda item: item[:2])
    _note_others(name, [other for _, other, _ in fitting if other != name])
    if size * np.dtype(variable.kind).itemsize > limits.decoded_bytes:
        raise TooLargeError(
            f"variable {variable.name} has {size:,} values of class {variable.kind}",
            field="inputs",
        )
    check_pixels(size // bands, limits)
    return Cube(file.read(variable), wavelengths_nm=_matlab_wavelengths(file, bands))


def _matlab_wavelengths(file: MatlabFile, bands: int) -> Wavelengths | None:
    def describes(v: MatlabVariable) -> bool:
        return (
            v.is_numeric
            and not v.is_complex
            and _holds_wavelengths(v.name)
            and math.prod(v.shape) == bands
        )

    found = next((variable for variable in file.variables if describes(variable)), None)
    return None if found is None else as_wavelengths(file.read(found))


def read_tiff(data: bytes, limits: Limits, bands: int) -> Cube:
    """Read the first image of a TIFF or GeoTIFF file, its bands as samples or as pages."""
    # Not on loading: the library takes some megabytes, and many services get no such file.
    import tifffile

    from omnivec2.preprocess.formats.measurements.tiff_tags import read_tiff_tags
    from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_tags

    check_tags(data)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = file.series[0]
            if series.dtype.kind not in "iuf":
                raise InvalidInputError("expected real numbers in the TIFF file", field="inputs")
            shape = tuple(size for size in series.shape if size != 1) or (1,)
            find_bands(shape, bands)
            check_pixels(math.prod(shape) // bands, limits)
            page = series.keyframe
            tile = math.prod(page.chunks) * series.dtype.itemsize
            if max(series.nbytes, tile) > limits.decoded_bytes:
                raise TooLargeError(
                    f"the TIFF file declares more than {limits.decoded_bytes:,} bytes",
                    field="inputs",
                )
            _check_segments(series, data, limits)
            values = np.asarray(series.asarray(maxworkers=1)).reshape(shape)
    except _DAMAGE_ERRORS as error:
        raise UndecodableError(
            "the TIFF file is damaged or of an unknown kind", field="inputs"
        ) from error
    tags = read_tiff_tags(data)
    waves = as_wavelengths(tags.wavelengths if len(tags.wavelengths) == bands else None)
    ignored = () if tags.scale in (None, 1.0) and not tags.offset else ("scale and offset",)
    return Cube(values, no_data=tags.no_data, wavelengths_nm=waves, ignored=ignored)


def _check_segments(series: Any, data: bytes, limits: Limits) -> None:
    """Refuse files that end before their pixels do; the library would fill in zeros.

    Strips that hold pictures of their own, such as JPEG, may not be larger than they declare.
    """
    from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_page

    size = len(data)
    for page in series.pages:
        if page is not None and series.keyframe.compression not in _PLAIN_CODINGS:
            check_page(page.aspage(), data, limits)
        frame = series.keyframe if page is None else page
        ends = [o + n for o, n in zip(frame.dataoffsets, frame.databytecounts, strict=True)]
        if not ends or max(ends) > size or 0 in frame.databytecounts:
            raise UndecodableError("the TIFF file is truncated", field="inputs")


def read_array(data: bytes, limits: Limits, bands: int) -> Cube:
    """Read an NPY file of shape (height, width, bands), (spectra, bands) or (bands,)."""
    array = read_npy(data, limits.decoded_bytes)
    find_bands(array.shape, bands)
    check_pixels(array.size // bands, limits)
    return Cube(array)


def _holds_wavelengths(name: str) -> bool:
    return name.lower() in _WAVELENGTH_NAMES


def _note_others(name: str, others: list[str]) -> None:
    if others:
        note(
            NoteCode.GUESSED,
            f"several arrays have the right number of bands; the largest, {name}, was read and "
            f"not {', '.join(others[:8])}",
            field=name,
        )


READERS: dict[str, Callable[[bytes, Limits, int], Cube]] = {
    "ENVI (header and data in a ZIP)": read_zip,
    "MATLAB .mat (version 5)": read_matlab,
    "GeoTIFF": read_tiff,
    "NPY": read_array,
    "NPZ": read_zip,
}

_SINGLE_FILES: dict[str, Callable[[bytes, Limits, int], Cube]] = {
    "application/x-matlab-data": read_matlab,
    "image/tiff": read_tiff,
    "application/x-npy": read_array,
}
