"""Resizing of coarse maps to a class, or a number, for every pixel of a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.postprocess.numeric import Floats

_STRIP_VALUES = 1_000_000
"""The number of logits held at a time (32 bytes each with what is computed from them): working
in strips of rows keeps a large picture of many classes from needing gigabytes."""


def class_map(
    logits: Floats, size: tuple[int, int]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Resize bilinearly and choose the best class of every pixel.

    Args:
        logits: An array (classes, rows, columns).
        size: The (width, height) of the picture in pixels.

    Returns:
        The best class and its probability, both (height, width).
    """
    width, height = size
    coarse = logits.astype(np.float32)
    left, right, x = _neighbours(coarse.shape[2], width)
    wide = coarse[:, :, left] * (1 - x) + coarse[:, :, right] * x
    top, bottom, y = _neighbours(coarse.shape[1], height)
    classes = np.empty((height, width), dtype=np.intp)
    best = np.empty((height, width), dtype=np.float32)
    rows = max(1, _STRIP_VALUES // (width * len(logits)))
    for start in range(0, height, rows):
        strip = slice(start, start + rows)
        below = y[strip, None]
        fine = wide[:, top[strip]] * (1 - below) + wide[:, bottom[strip]] * below
        highest = fine.max(axis=0)
        classes[strip] = fine.argmax(axis=0)
        # The best class's softmax needs no division by class: exp(0) over the sum.
        best[strip] = 1.0 / np.exp(fine - highest).sum(axis=0)
    return classes, best


def resized_map(values: Floats, size: tuple[int, int]) -> Floats:
    """Resize a map of numbers bilinearly.

    Args:
        values: An array (rows, columns).
        size: The (width, height) of the picture in pixels.

    Returns:
        The values, (height, width).
    """
    width, height = size
    left, right, x = _neighbours(values.shape[1], width)
    top, bottom, y = _neighbours(values.shape[0], height)
    wide = values[:, left] * (1 - x) + values[:, right] * x
    return np.asarray(wide[top] * (1 - y[:, None]) + wide[bottom] * y[:, None], np.float64)


def _neighbours(
    coarse: int, fine: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return the left and right neighbour of each fine position, and the weight of the right one.

    Positions are pixel centres (``align_corners=False`` in PyTorch), clamped at the ends.
    """
    at = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    left = np.floor(at).astype(np.intp)
    right = np.minimum(left + 1, coarse - 1)
    return left, right, (at - left).astype(np.float32)
