"""Points in ``.npz`` files (``numpy.savez``): one array of them, or one each of x, y and z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.points.point_arrays import points_of_array
from omnivec2.preprocess.formats.science.npz import NpzArray, read_npz
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_NAMES = (
    "points", "xyz", "pos", "position", "positions", "coords", "coordinates", "vertices", "pc",
    "cloud", "point_cloud", "pointcloud", "pts",
)  # fmt: skip
"""How programs call an array of points, the likelier first."""

_COMPANIONS = ("normal", "color", "colour", "rgb", "face", "triangle", "edge", "feature")
"""Words in the names of arrays that have three columns and are no points."""

_AXES = ("x", "y", "z")


def read_archive(data: bytes, limits: Limits) -> Array:
    """Read the points of an ``.npz`` file; arrays beside them, such as labels, are left alone.

    Raises:
        InvalidInputError: No array, or more than one, may be the points.
        TooLargeError: It declares too many points.
    """
    wanted: Sequence[str] = ()

    def choose(arrays: Mapping[str, NpzArray]) -> str:
        nonlocal wanted
        wanted = _chosen(list(arrays.values()))
        most = max(arrays[wanted[0]].shape, default=0)
        if limits.points is not None and most > limits.points:
            raise TooLargeError(f"the file has {most:,} points, the limit is {limits.points:,}")
        return wanted[0]

    values, others = read_npz(
        data, limits.decoded_bytes, choose, lambda array: array.name in wanted
    )
    if not others:
        return points_of_array(values)
    columns = [values, *(others[name] for name in wanted[1:])]
    if len({len(column) for column in columns}) > 1:
        raise InvalidInputError("x, y and z differ in length", field="inputs")
    return np.stack(columns, axis=1)


def _chosen(arrays: Sequence[NpzArray]) -> Sequence[str]:
    """Return the name of the array that holds the points, or those of x, y and z."""
    fitting = [array for array in arrays if _may_be_points(array)]
    likely = [a for a in fitting if not any(word in a.name.lower() for word in _COMPANIONS)]
    known = {array.name.lower(): array.name for array in likely}
    named = [known[name] for name in _NAMES if name in known]
    if len(named) > 1:
        others = ", ".join(named[1:])
        note(NoteCode.GUESSED, f"the array {named[0]!r} was read as the points, not {others}")
    if named:
        return named[:1]
    for found in (likely, fitting):
        if len(found) == 1:
            return [found[0].name]
    axes = {a.name.lower(): a.name for a in arrays if a.is_numeric and len(a.shape) == 1}
    if not fitting and all(name in axes for name in _AXES):
        return [axes[name] for name in _AXES]
    has = ", ".join(f"{array.name} {array.shape}" for array in list(arrays)[:8]) or "nothing"
    raise InvalidInputError(
        "expected an NPZ file (numpy.savez) with one array of points (points, 3), named 'points' "
        f"if there are several; it has {has}",
        field="inputs",
    )


def _may_be_points(array: NpzArray) -> bool:
    """Whether an array has rows, or columns, of three values or more."""
    shape = [size for size in array.shape if size != 1]
    return array.is_numeric and (
        (len(shape) == 2 and min(shape) >= 3) or (len(array.shape) == 2 and array.shape[1] == 3)
    )
