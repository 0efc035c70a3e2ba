"""Rows of batches: join them into one array, and tell which lengths may be joined."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from omnivec2.preprocess import Array

Batch = Mapping[str, Array]


class Rows(NamedTuple):
    """Some rows of an array.

    Attributes:
        array: The array (batch, ...).
        start: The index of the first row.
        stop: The index after the last row.
    """

    array: Array
    start: int
    stop: int

    @property
    def view(self) -> Array:
        """The rows as an array, without a copy."""
        return self.array[self.start : self.stop]


def join_rows(parts: Sequence[Rows]) -> Array:
    """Join rows along the first axis; shorter ones are padded with zeros at the end.

    Nothing is copied where the parts, in their order, are all rows of one array.
    """
    whole = parts[0].array
    if _are_all_of(whole, parts):
        return whole
    arrays = [part.view for part in parts]
    shape = arrays[0].shape[1:]
    if all(array.shape[1:] == shape for array in arrays):
        return np.concatenate(arrays)
    shape = tuple(max(sizes) for sizes in zip(*(a.shape[1:] for a in arrays), strict=True))
    padded = np.zeros((sum(map(len, arrays)), *shape), dtype=whole.dtype)
    start = 0
    for array in arrays:
        rows = slice(start, start := start + len(array))
        padded[(rows, *(slice(0, size) for size in array.shape[1:]))] = array
    return padded


def merge_batches(batches: Sequence[Batch]) -> Batch:
    """Join batches along their first axis; shorter ones are padded with zeros at the end."""
    return {
        name: join_rows([Rows(batch[name], 0, len(batch[name])) for batch in batches])
        for name in batches[0]
    }


def length_bucket(arrays: Sequence[Array], pads: bool) -> Hashable:
    """Return the key of the inputs that may meet in a batch of a graph.

    Args:
        arrays: The inputs of the graph, each (batch, ...).
        pads: Whether they may be padded: then padding at most doubles any axis. Otherwise only
            equal shapes meet.
    """
    if not pads:
        return tuple([array.shape[1:] for array in arrays])
    return tuple([tuple([(size - 1).bit_length() for size in array.shape[1:]]) for array in arrays])


def _are_all_of(whole: Array, parts: Sequence[Rows]) -> bool:
    """Whether the parts, in their order, are all rows of one array."""
    row = 0
    for part in parts:
        if part.array is not whole or part.start != row:
            return False
        row = part.stop
    return row == len(whole)
