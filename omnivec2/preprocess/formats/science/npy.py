"""Reader of ``.npy`` files, without pickle and with the declared size checked first."""

from __future__ import annotations

import io
import math
import tokenize

import numpy as np
from numpy.lib import format as npy_format

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array

MAGIC = npy_format.MAGIC_PREFIX

_HEADER_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
# Raised by numpy on a damaged header; a Warning only where warnings are errors.
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, KeyError, tokenize.TokenError, Warning)


def read_npy(data: bytes, decoded_bytes: int, *, records: bool = False) -> Array:
    """Read an array of plain numbers.

    Args:
        data: The file.
        decoded_bytes: The size of the largest array to accept, in bytes.
        records: Whether arrays of records with named fields are accepted too.

    Returns:
        A read-only view of ``data`` in the shape and dtype that the file declares.

    Raises:
        UndecodableError: the file is not ``.npy``, truncated, or holds Python objects.
        TooLargeError: the declared array is too large.
        InvalidInputError: the array does not hold real numbers.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise UndecodableError("pickled Python objects in .npy files are refused; save numbers")
    if dtype.kind not in "iuf" and not (records and dtype.names):
        raise InvalidInputError(f"expected an array of real numbers, got dtype {dtype}")
    if any(size < 0 for size in shape):
        raise UndecodableError(f"a .npy file cannot have the shape {shape}")
    declared = math.prod(shape) * dtype.itemsize
    if declared > decoded_bytes:
        raise TooLargeError(f"the .npy file declares {declared:,} bytes, limit {decoded_bytes:,}")
    start = stream.tell()
    if len(data) - start < declared:
        raise UndecodableError(
            f"the .npy file is truncated: its header declares {declared:,} bytes of data, "
            f"{len(data) - start:,} follow"
        )
    flat = np.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


def read_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Return the shape, whether the order is Fortran's, and the type that a header declares.

    Args:
        stream: The file, at its beginning; it is left behind the header.

    Raises:
        UndecodableError: it is not the header of a ``.npy`` file.
    """
    try:
        version = npy_format.read_magic(stream)
        return _HEADER_READERS[version](stream)
    except _HEADER_ERRORS as error:
        raise UndecodableError("expected a NumPy .npy file with a readable header") from error
