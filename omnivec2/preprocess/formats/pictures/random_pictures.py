"""Random pictures for comparing graphs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOB_PIXELS = 16
_NOISE_LEVELS = 12


def random_pictures(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw soft blobs of light with noise on them.

    Args:
        shape: The shape of the result, (..., height, width, channels).
        rng: The source of randomness.

    Returns:
        Values in 0..255, not rounded.
    """
    *front, height, width, channels = shape
    rows, columns = -(-height // _BLOB_PIXELS), -(-width // _BLOB_PIXELS)
    coarse = rng.uniform(0, 255, (*front, rows, columns, channels))
    blobs = coarse.repeat(_BLOB_PIXELS, axis=-3).repeat(_BLOB_PIXELS, axis=-2)
    return np.clip(blobs[..., :height, :width, :] + rng.normal(0, _NOISE_LEVELS, shape), 0, 255)
