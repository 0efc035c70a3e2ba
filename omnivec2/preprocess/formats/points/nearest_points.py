"""The points that are nearest to others, by comparing all pairs in blocks.

One side is always small here (the centres of a cloud's groups), so that a k-d tree would gain
little: SciPy's takes as long for a million points.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.base import Array

_BLOCK_PAIRS = 2**17
"""Pairs per block: its distances, in float64, stay in a core's cache."""

Indices = npt.NDArray[np.int64]


def nearest_neighbours(points: Array, centres: Array, count: int) -> Indices:
    """Return the nearest points of every centre, the nearest first.

    Args:
        points: The points (n, 3), at least ``count``.
        centres: The centres (m, 3).
        count: The number of neighbours.

    Returns:
        Indices into ``points`` (m, count); equally distant ones in the order of ``points``.
    """
    found = []
    for distances in _blocks(centres, points):
        nearest = np.sort(np.argpartition(distances, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(np.take_along_axis(distances, nearest, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(nearest, order, 1))
    return np.concatenate(found)


def nearest_centre(points: Array, centres: Array) -> Indices:
    """Return for every point (n, 3) the index (n,) of its nearest centre, the first of several."""
    return np.concatenate([distances.argmin(axis=1) for distances in _blocks(points, centres)])


def _blocks(rows: Array, columns: Array) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the squared distances of some rows to all columns after those of the rows before."""
    across = [np.asarray(columns[:, axis], np.float64) for axis in range(3)]
    step = max(1, _BLOCK_PAIRS // len(columns))
    for start in range(0, len(rows), step):
        block = np.asarray(rows[start : start + step], np.float64)
        squares = np.zeros((len(block), len(columns)))
        for axis in range(3):
            difference = block[:, axis, None] - across[axis]
            squares += np.square(difference, out=difference)
        yield squares
