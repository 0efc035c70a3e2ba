"""Values that mark pixels without data: those that a file declares, and those that are usual.

GIS software and cameras write a number where nothing was measured. Taken as a measurement, it
spoils whatever is computed from the picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.base import Array

_USUAL_MARKS = (-9999.0, -99999.0, -999999.0, -32768.0, -32767.0)
_BEYOND_MEASURING = 1e19
"""No sensor measures this much in any unit; marks such as -1e20 and -3.4e38 lie beyond."""

_LEAST_SHARE, _RANGES_APART = 0.01, 4
"""Zeros of counts are taken for missing from one in a hundred on, below which they are dead pixels,
and if they are four times as far from the others as these are from each other."""

_RELATIVE_PRECISION = 1e-5
"""Headers write marks such as -3.40282e+38 with six digits."""


def is_mark(values: Array, mark: float) -> npt.NDArray[np.bool_]:
    """Return where an array holds a mark, as the array's type and the mark's digits allow.

    Args:
        values: An array of any real type.
        mark: The value that means "no data"; NaN marks nothing more than NaN does.

    Returns:
        A mask of the array's shape.
    """
    if not np.isfinite(mark):
        return np.asarray(values == mark)
    if values.dtype.kind != "f":
        info = np.iinfo(values.dtype)
        if mark != round(mark) or not info.min <= mark <= info.max:
            return np.zeros(values.shape, dtype=np.bool_)
        return np.asarray(values == values.dtype.type(int(mark)))
    with np.errstate(over="ignore", invalid="ignore"):
        if abs(mark) < _BEYOND_MEASURING:
            return np.asarray(values == values.dtype.type(mark))
        margin = abs(mark) * _RELATIVE_PRECISION
        near = np.abs(values.astype(np.float64) - mark) <= margin
        return np.asarray(near | (values == values.dtype.type(mark)))


def is_beyond_measuring(values: Array) -> npt.NDArray[np.bool_]:
    """Return where finite values are so large, either way, that no sensor measures them."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(values) >= _BEYOND_MEASURING) & np.isfinite(values))


def usual_mark(values: Array) -> float | None:
    """Return the usual mark that the least or the greatest value is, if it is one.

    Args:
        values: An array of any real type, of which NaN does not count.
    """
    if values.size == 0 or values.dtype.itemsize < 2:
        return None
    if values.dtype.kind == "u":
        return 0.0 if _zeros_lie_apart(values) else None
    with np.errstate(invalid="ignore"):
        least, greatest = float(np.fmin.reduce(values, None)), float(np.fmax.reduce(values, None))
    if least in _USUAL_MARKS or -np.inf < least <= -_BEYOND_MEASURING:
        return least
    return greatest if np.inf > greatest >= _BEYOND_MEASURING else None


def _zeros_lie_apart(values: Array) -> bool:
    """Whether zeros are many, and so far from all other values that they measure nothing."""
    zeros = values == 0
    share = float(zeros.mean())
    if not _LEAST_SHARE < share < 1:
        return False
    rest = values[~zeros]
    least, greatest = int(rest.min()), int(rest.max())
    return least > _RANGES_APART * (greatest - least + 1)


def without_marks(values: Array, mark: float) -> tuple[Array, int]:
    """Return an array with NaN in the place of a mark, and how often it stands there.

    The array is returned as it is where the mark is nowhere; otherwise as float32, or as
    float64 if its own type has more digits.
    """
    missing = is_mark(values, mark)
    count = int(np.count_nonzero(missing))
    if count == 0:
        return values, 0
    wide = values.dtype.itemsize > 4 or (values.dtype.kind != "f" and values.dtype.itemsize > 2)
    with np.errstate(over="ignore"):
        cleaned = values.astype(np.float64 if wide else np.float32)
    cleaned[missing] = np.nan
    return cleaned, count
