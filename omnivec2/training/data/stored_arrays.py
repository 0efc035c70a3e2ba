"""Files of arrays: NumPy, MATLAB, and IDX files such as those of MNIST."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array

_ONLY = "array"
"""The name of the array of a file without names."""

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DAMAGED = (OSError, ValueError, EOFError, struct.error, zipfile.BadZipFile, zlib.error)
"""The errors that readers of these forms raise on damaged files."""


def is_arrays(path: Path) -> bool:
    """Whether a file is of one of the forms read here."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((".npz", ".npy", ".mat", "-ubyte"))


def load_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a file by name; nothing pickled is read.

    Raises:
        InvalidInputError: The file is damaged, or of none of the forms.
    """
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".mat"):
            from scipy.io import loadmat

            variables = loadmat(path)
            return {key: np.asarray(v) for key, v in variables.items() if not key.startswith("__")}
        if name.endswith("-ubyte"):
            return {_ONLY: _read_idx(path)}
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {_ONLY: loaded}
            return {key: loaded[key] for key in loaded.files}
    except _DAMAGED as error:
        raise InvalidInputError(f"{path}: not readable arrays: {array_fault(error)}") from error


def array_fault(error: Exception) -> str:
    """Return in words why NumPy cannot read a file; it takes any other content for pickles."""
    if "pickle" not in str(error):
        return str(error)
    return "the file is damaged, or holds Python objects; expected arrays of numbers (numpy.savez)"


def _read_idx(path: Path) -> Array:
    """Read an IDX file (yann.lecun.com/exdb/mnist): type, number of axes, their lengths, data."""
    raw = path.read_bytes()
    data = gzip.decompress(raw) if path.name.endswith(".gz") else raw
    zero, kind, axes = struct.unpack(">HBB", data[:4])
    if zero or kind not in _IDX_TYPES:
        raise ValueError("no IDX header")
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    flat = np.frombuffer(data, dtype=_IDX_TYPES[kind], offset=4 + 4 * axes)
    return flat.reshape(shape).astype(flat.dtype.newbyteorder("="))
