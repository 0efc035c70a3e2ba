"""Samples of any depth -> 8 bits, where black and white are not simply 0 and the type's maximum.

A 16-bit file may hold the 12 bits of a camera, with or without saying so, and 32-bit and
floating point samples have no natural white at all. Everything that is concluded is a note.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.pictures.raster import scale_to_uint8, stretch_to_uint8
from omnivec2.preprocess.formats.pictures.sample_bits import FULL_BITS, significant_bits
from omnivec2.preprocess.notes import NoteCode, note

_UNIT_PEAK = 0.25
"""Floats of 0..1 that stay below this are taken for something else than black to white."""

_BYTE_PEAK = 128


def to_uint8(values: Array, white: int | None = None) -> npt.NDArray[np.uint8]:
    """Convert samples to 8 bits as a viewer would show them; zero is black.

    Args:
        values: An array of samples of any real type and shape.
        white: The value that the file states as white, or None if it states none.

    Raises:
        InvalidInputError: no value is finite.
    """
    if values.dtype == np.uint8:
        return values if white in (None, 255) else scale_to_uint8(values, 0, float(white or 255))
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        return _floats(values)
    if values.dtype == np.uint16:
        return _uint16(values, white)
    if white is not None:
        return scale_to_uint8(values, 0, float(white))
    if values.dtype.kind == "u" and values.max() > np.iinfo(values.dtype).max // 2:
        return scale_to_uint8(values, 0, float(np.iinfo(values.dtype).max))
    note(
        NoteCode.GUESSED,
        f"{values.dtype} samples have no natural white; the range of the picture's own values, "
        f"{values.min()} to {values.max()}, was taken as black to white",
    )
    return stretch_to_uint8(values)


def upper_bytes(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Return the upper bytes of 16-bit values, without a copy of them in between."""
    upper = 1 if sys.byteorder == "little" else 0
    both = np.ascontiguousarray(values, dtype=np.uint16).view(np.uint8)
    return np.ascontiguousarray(both.reshape(*values.shape, 2)[..., upper])


def _uint16(values: npt.NDArray[np.uint16], white: int | None) -> npt.NDArray[np.uint8]:
    if white is not None and values.max(initial=0) <= white:
        return scale_to_uint8(values, 0, white)
    bits = significant_bits(values)
    if bits == FULL_BITS:
        return upper_bytes(values)
    note(
        NoteCode.GUESSED,
        f"the values of this 16-bit picture use {bits} bits (up to {values.max()}); "
        f"{(1 << bits) - 1} was taken as white, else the picture would be almost black",
    )
    return scale_to_uint8(values, 0, (1 << bits) - 1)


def _floats(values: Array) -> npt.NDArray[np.uint8]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low >= 0 and _UNIT_PEAK <= high <= 1:
        return scale_to_uint8(values, 0, 1)
    if low >= 0 and _BYTE_PEAK <= high <= 255:
        note(
            NoteCode.GUESSED,
            "the floating point samples lie between 0 and 255, which were taken as black and white",
        )
        return scale_to_uint8(values, 0, 255)
    note(
        NoteCode.GUESSED,
        f"floating point samples of {low:g} to {high:g} have no natural white; this range was "
        "taken as black to white; save them as 0 to 1 to avoid it",
    )
    return stretch_to_uint8(values)
