"""Reader of ``.npz`` files (``np.savez``): one array, chosen by its shape, and small companions."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.archives import open_zip
from omnivec2.preprocess.formats.science.npy import read_header, read_npy

_MOST_ARRAYS = 256
_MOST_HEADER_BYTES = 2**16
_SUFFIX = ".npy"


@dataclass(frozen=True)
class NpzArray:
    """An array of an ``.npz`` file, without its values."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def is_numeric(self) -> bool:
        """Whether it holds real numbers."""
        return self.dtype.kind in "iuf"


def is_npz(data: bytes) -> bool:
    """Whether a ZIP archive begins with a ``.npy`` file, as those of ``np.savez`` do."""
    name_bytes = int.from_bytes(data[26:28], "little")
    return data.startswith(b"PK\3\4") and data[30 : 30 + name_bytes].endswith(_SUFFIX.encode())


def read_npz(
    data: bytes,
    decoded_bytes: int,
    choose: Callable[[Mapping[str, NpzArray]], str],
    also: Callable[[NpzArray], bool] = lambda _: False,
) -> tuple[Array, dict[str, Array]]:
    """Read an array of a file of ``np.savez``, and small ones that describe it.

    Args:
        data: The file.
        decoded_bytes: The size of the arrays to accept, in bytes, all that are read together.
        choose: A function that names the array to read, given all; it raises if none fits.
        also: A function that says which others to read.

    Returns:
        The array, and the others by name.

    Raises:
        UndecodableError: the archive or an array is damaged, or holds Python objects.
        TooLargeError: there are too many arrays, or one is too large.
        InvalidInputError: no array fits.
    """
    limit = decoded_bytes + 2 * _MOST_HEADER_BYTES
    with open_zip(data, limit, _MOST_ARRAYS) as archive:
        arrays = {}
        for member in archive.sizes:
            if member.endswith(_SUFFIX):
                head = archive.beginning(member, _MOST_HEADER_BYTES)
                shape, _, dtype = read_header(io.BytesIO(head))
                name = member.removesuffix(_SUFFIX)
                arrays[name] = NpzArray(name, shape, dtype)
        wanted = choose(arrays)
        rest = [n for n, array in arrays.items() if n != wanted and also(array)]

        def read(name: str) -> Array:
            return read_npy(archive.read(name + _SUFFIX), decoded_bytes)

        return read(wanted), {name: read(name) for name in rest}
