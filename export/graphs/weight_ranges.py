"""The byte ranges of the tensors in a safetensors file, so that a graph can refer to them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.arrays import Array
from omnivec2.checkpoint import (
    SCALE_SUFFIX,
    WEIGHTS_FILE,
    dequantise,
    is_quantised,
    load_stored_tensors,
)
from omnivec2.errors import CheckpointError


@dataclass(frozen=True)
class ByteRange:
    """The bytes of one stored tensor, counted from the start of the file."""

    offset: int
    length: int


class StoredWeights:
    """A checkpoint's tensors as they are stored, as float values, and as byte ranges.

    Args:
        directory: The directory of the checkpoint.

    Raises:
        CheckpointError: The weights file is missing, damaged, or not laid out as the
            format says.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / WEIGHTS_FILE
        self.stored: Mapping[str, Array] = load_stored_tensors(directory)
        self.values: Mapping[str, Array] = dequantise(self.stored)
        self.ranges = read_ranges(self.path)
        data = np.memmap(self.path, dtype=np.uint8, mode="r")
        for name, array in self.stored.items():
            where = self.ranges[name]
            raw = data[where.offset : where.offset + where.length]
            if raw.tobytes() != array.tobytes():
                raise CheckpointError(f"{self.path}: the bytes of {name} are not where it says")

    def content_digest(self, names: Iterable[str], spec: str) -> str:
        """Return the sha256 over some tensors as they are stored and the spec of their part.

        Two parts with the same digest compute the same, whichever checkpoint they are from.

        Args:
            names: The names of the tensors.
            spec: The spec of the part that reads them, as JSON.
        """
        digest = hashlib.sha256(spec.encode())
        for name in sorted(names):
            array = self.stored[name]
            digest.update(f"\n{name} {array.dtype} {array.shape} ".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def scale_name(self, name: str) -> str | None:
        """Return the name of a tensor's row scale, or None if it is not stored as int8 rows."""
        return f"{name}{SCALE_SUFFIX}" if is_quantised(name, self.stored) else None


def read_ranges(path: Path) -> dict[str, ByteRange]:
    """Read the byte ranges of all tensors of a safetensors file.

    The format (github.com/huggingface/safetensors): a little-endian uint64 with the
    header's size, the header as JSON, then the data that its offsets count from.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    start = 8 + size
    return {
        name: _range(start, *entry["data_offsets"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _range(start: int, begin: int, end: int) -> ByteRange:
    return ByteRange(start + begin, end - begin)
