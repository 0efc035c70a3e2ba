"""Variables of MATLAB 5 files (``save -v6`` and ``-v7``): their list, and numeric arrays.

Format: MathWorks, "MAT-File Format", chapter "Level 5 MAT-File Format". SciPy reads more kinds of
variables, but trusts what a file says of itself: wrong type tags and cells inside cells crash it.
Here every tag is checked before what it describes is read, nothing is followed into cells,
structures or objects, and a variable is read from the place where it was described.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array

MATLAB_5 = b"MATLAB 5.0 MAT-file"

_HEADER_BYTES = 128
_HEAD_BYTES = 4096
"""More than the class, the sizes and the name of any variable take."""
_CHUNK_BYTES = 2**20
_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_MOST_ELEMENTS = 1000
_MOST_AXES = 32
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_CLASSES = (
    "", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8",
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque",
)  # fmt: skip
"""MATLAB's classes by their number."""
_NUMERIC = frozenset(_CLASSES[6:16])
_WITHOUT_SIZES = frozenset({"function", "opaque"})
"""Classes whose elements go on with other things than the sizes of their axes."""
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Types in which values are stored, which may be smaller than their class."""


@dataclass(frozen=True)
class MatlabVariable:
    """A variable of a file, without its values.

    Attributes:
        name: The name.
        kind: The class, such as ``double``; ``logical`` for truth values.
        shape: The sizes of its axes.
        is_complex: Whether it has imaginary parts.
        place: The number of its element in the file.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    is_complex: bool
    place: int

    @property
    def is_numeric(self) -> bool:
        """Whether it is a full array of numbers."""
        return self.kind in _NUMERIC


class MatlabFile:
    """A MATLAB 5 file in memory.

    Args:
        data: The file.
        decoded_bytes: The most bytes that all its variables may unpack to.

    Attributes:
        variables: The variables in their order.

    Raises:
        UndecodableError: The file is damaged or truncated.
        TooLargeError: It unpacks to more bytes than the limit, or has a thousand variables.
        InvalidInputError: Two variables have the same name.
    """

    def __init__(self, data: bytes, decoded_bytes: int) -> None:
        self._data = data
        self._limit = decoded_bytes
        if data[126:128] not in (b"IM", b"MI"):
            raise UndecodableError("the MATLAB file's byte order mark is damaged")
        self._order = "<" if data[126:128] == b"IM" else ">"
        self.variables: list[MatlabVariable] = []
        for place, (kind, payload) in enumerate(self._elements(_HEAD_BYTES)):
            if place >= _MOST_ELEMENTS:
                raise TooLargeError(f"the MATLAB file has more than {_MOST_ELEMENTS:,} variables")
            if kind == _MATRIX and payload:  # an empty one is a deleted variable
                self.variables.append(self._describe(payload, place)[0])
        names = [variable.name for variable in self.variables if variable.name]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InvalidInputError(
                f"the MATLAB file has several variables named {twice}; expected one of each name"
            )

    def read(self, variable: MatlabVariable) -> Array:
        """Read the values of a numeric variable, in the type in which they are stored.

        Raises:
            InvalidInputError: It does not hold real numbers.
            UndecodableError: The values are damaged or truncated.
        """
        if not variable.is_numeric or variable.is_complex:
            raise InvalidInputError(f"expected real numbers in variable {variable.name}")
        payload = next(
            p for i, (_, p) in enumerate(self._elements(self._limit)) if i == variable.place
        )
        _, position = self._describe(payload, variable.place)
        kind, values, _ = self._element(payload, position)
        own = _STORED.get(kind)
        # Values may be stored in a smaller type than their class, but no integers as floats.
        if own is None or (own[0] == "f" and variable.kind not in ("double", "single")):
            raise UndecodableError(
                f"the MATLAB file stores {variable.name} in an unknown type; it is damaged"
            )
        dtype = np.dtype(self._order + own)
        if len(values) != math.prod(variable.shape) * dtype.itemsize:
            raise UndecodableError(f"the MATLAB file is truncated in variable {variable.name}")
        return np.frombuffer(values, dtype).reshape(variable.shape, order="F")

    def _elements(self, kept_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Yield the type of every element of the file, and the beginning of its unpacked data."""
        position, total = _HEADER_BYTES, 0
        while position + 8 <= len(self._data):
            kind, payload, position = self._element(self._data, position, padded=False)
            if kind == _COMPRESSED:
                unpacked, size = _inflate(payload, kept_bytes + 8, self._limit - total)
                total += size
                if total > self._limit:
                    raise TooLargeError(
                        f"the MATLAB file unpacks to more than {self._limit:,} bytes"
                    )
                if len(unpacked) < 8:
                    raise UndecodableError("the MATLAB file is damaged")
                kind, declared = struct.unpack_from(f"{self._order}II", unpacked)
                if declared > size - 8:
                    raise UndecodableError("the MATLAB file is truncated")
                payload = unpacked[8 : 8 + declared]
            yield kind, payload

    def _element(
        self, data: bytes, position: int, *, padded: bool = True
    ) -> tuple[int, bytes, int]:
        """Return the type of the element at a position, its data, and where the next one begins."""
        if position + 8 > len(data):
            raise UndecodableError("the MATLAB file is truncated")
        kind, size = struct.unpack_from(f"{self._order}II", data, position)
        if small := kind >> 16:  # up to four bytes of data in the place of the size
            if small > 4:
                raise UndecodableError("the MATLAB file is damaged")
            return kind & 0xFFFF, data[position + 4 : position + 4 + small], position + 8
        start = position + 8
        if size > len(data) - start:
            raise UndecodableError("the MATLAB file is truncated")
        return kind, data[start : start + size], start + size + (-size % 8 if padded else 0)

    def _describe(self, payload: bytes, place: int) -> tuple[MatlabVariable, int]:
        """Read the head of a matrix element; return the position of its values, too."""
        flags, position = self._typed(payload, 0, _UINT32)
        if len(flags) != 8:
            raise UndecodableError("the MATLAB file is damaged")
        (word,) = struct.unpack_from(f"{self._order}I", flags)
        if not 0 < word & 0xFF < len(_CLASSES):
            raise UndecodableError("the MATLAB file has a variable of an unknown class")
        kind = "logical" if word & _LOGICAL else _CLASSES[word & 0xFF]
        sizes = b""
        if kind not in _WITHOUT_SIZES:
            sizes, position = self._typed(payload, position, _INT32)
        if kind != "function":
            name, position = self._typed(payload, position, _INT8)
        else:
            name = b""
        shape = tuple(int(size) for size in np.frombuffer(sizes, f"{self._order}i4"))
        if min(shape, default=0) < 0 or len(shape) > _MOST_AXES:
            raise UndecodableError("the MATLAB file is damaged")
        text = name.decode("ascii", errors="replace")
        return MatlabVariable(text, kind, shape, bool(word & _COMPLEX), place), position

    def _typed(self, payload: bytes, position: int, expected: int) -> tuple[bytes, int]:
        """Return the data of an element of an expected type, and where the next one begins."""
        kind, data, position = self._element(payload, position)
        if kind != expected or (expected == _INT32 and len(data) % 4):
            raise UndecodableError("the MATLAB file is damaged: an element is of a wrong type")
        return data, position


def _inflate(packed: bytes, kept_bytes: int, limit: int) -> tuple[bytes, int]:
    """Decompress an element; return its beginning, and its size or one above the limit."""
    inflater, kept, total = zlib.decompressobj(), bytearray(), 0
    while packed and not inflater.eof and total <= limit:
        try:
            chunk = inflater.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise UndecodableError("the MATLAB file is damaged") from error
        packed = inflater.unconsumed_tail
        kept += chunk[: kept_bytes - len(kept)]
        total += len(chunk)
    return bytes(kept), total
