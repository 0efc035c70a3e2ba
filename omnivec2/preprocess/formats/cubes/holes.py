"""Pixels and bands of a cube that hold no data.

The network's tokenizer takes a pixel whose bands are all 0 as a hole: neighbours then count as
the pixel in the middle of the window does. So every pixel without data is made one, whatever
value marks it in the file; single bands without data are interpolated between their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.measurements.missing_values import is_mark, usual_mark
from omnivec2.preprocess.notes import NoteCode, note

_CHUNK_VALUES = 2**20
_FEWEST_BANDS_TO_GUESS = 4
_MOST_GUESSES = 100


@dataclass
class _Found:
    """What was found so far; pixels are counted row by row."""

    pixels: int = 0
    holes: int = 0
    first_hole: int = -1
    unmarked: int = 0
    mark: float = 0.0
    flat: int = 0
    filled: int = 0
    first_filled: int = -1


def close_holes(cube: Array, no_data: float | None) -> Array:
    """Make pixels without data holes, and fill single bands without data.

    Args:
        cube: An array (height, width, bands) or (spectra, bands) of any real type.
        no_data: The value that marks pixels and bands without data; NaN and infinities mark
            them, too. A spectrum of nothing but a usual mark, such as -9999, is taken as
            marked with a note.

    Returns:
        An array of the same shape with 0 in all bands of pixels without data: the very same
        array if all values are there.

    Raises:
        InvalidInputError: No pixel holds data.
    """
    found = _Found()
    closed: Array | None = None
    bands = cube.shape[-1]
    step = max(1, _CHUNK_VALUES // max(1, cube[0].size))
    for start in range(0, len(cube), step):
        chunk = cube[start : start + step]
        changed = _close(chunk.reshape(-1, bands), no_data, found)
        if changed is not None:
            closed = np.array(cube) if closed is None else closed
            closed[start : start + step] = changed.reshape(chunk.shape)
    _report(found, no_data, bands, cube.shape[1] if cube.ndim == 3 else None)
    return cube if closed is None else closed


def holes_of(cube: Array) -> npt.NDArray[np.bool_]:
    """Return which pixels are holes: 0 in all bands.

    Args:
        cube: An array (..., bands).

    Returns:
        A mask of the cube's shape without the bands.
    """
    # Slice by slice, since a mask of all values would be as large as the cube.
    step = max(1, _CHUNK_VALUES // max(1, cube[0].size))
    slices = [cube[start : start + step] for start in range(0, len(cube), step)]
    return np.concatenate([~np.any(part, axis=-1) for part in slices])


def _close(spectra: Array, no_data: float | None, found: _Found) -> Array | None:
    """Close the holes of some spectra (pixels, bands); return None if nothing changes."""
    is_float = spectra.dtype.kind == "f"
    missing = ~np.isfinite(spectra) if is_float else None
    if no_data is not None:
        marked = is_mark(spectra, no_data)
        if no_data == 0:  # 0 in some bands is a dark measurement, 0 in all is none
            marked &= marked.all(axis=1, keepdims=True)
        missing = marked if missing is None else missing | marked
    even = (spectra == spectra[:, :1]).all(axis=1)
    guessed = _unmarked(spectra, even) if no_data is None else np.zeros(len(spectra), np.bool_)
    counts = np.zeros(len(spectra), np.intp) if missing is None else missing.sum(axis=1)
    holes = (counts * 2 > spectra.shape[1]) | guessed
    zeros = even & (spectra[:, 0] == 0)
    found.flat += int(np.count_nonzero(even & ~holes & ~zeros))
    partial = (counts > 0) & ~holes
    _count(found, spectra, holes, zeros, guessed, partial)
    if not holes.any() and not partial.any():
        return None
    changed = np.array(spectra)
    changed[holes] = 0
    if missing is not None:
        places = np.arange(spectra.shape[1])
        for pixel in np.flatnonzero(partial):
            gone = missing[pixel]
            changed[pixel, gone] = np.interp(places[gone], places[~gone], spectra[pixel, ~gone])
    return changed


def _unmarked(spectra: Array, even: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which spectra hold nothing but a usual mark, or the largest integer."""
    unmarked = np.zeros(len(spectra), np.bool_)
    if spectra.shape[1] < _FEWEST_BANDS_TO_GUESS:
        return unmarked
    for value in np.unique(spectra[even, :1])[:_MOST_GUESSES]:
        largest = spectra.dtype.kind != "f" and value == np.iinfo(spectra.dtype).max
        if largest or usual_mark(np.asarray([value])) is not None:
            unmarked |= even & (spectra[:, 0] == value)
    return unmarked


def _count(
    found: _Found,
    spectra: Array,
    holes: npt.NDArray[np.bool_],
    zeros: npt.NDArray[np.bool_],
    guessed: npt.NDArray[np.bool_],
    partial: npt.NDArray[np.bool_],
) -> None:
    without = np.flatnonzero(holes | zeros)
    if len(without) and found.first_hole < 0:
        found.first_hole = found.pixels + int(without[0])
    if guessed.any():
        found.mark = float(spectra[np.flatnonzero(guessed)[0], 0])
    if partial.any() and found.first_filled < 0:
        found.first_filled = found.pixels + int(np.flatnonzero(partial)[0])
    found.pixels += len(spectra)
    found.holes += len(without)
    found.unmarked += int(guessed.sum())
    found.filled += int(partial.sum())


def _report(found: _Found, no_data: float | None, bands: int, width: int | None) -> None:
    marks = "not a number or 0 in all bands"
    if no_data is not None:
        marks = f"not a number, 0 or the value {no_data:g} of no data"
    if found.holes == found.pixels:
        raise InvalidInputError(
            f"no pixel of the cube holds data (nodata): all are {marks}", field="inputs"
        )
    if found.flat == found.pixels - found.holes and bands > 1:
        note(NoteCode.EMPTY, "all spectra are flat: each has the same value in all bands")
    if found.unmarked:
        note(
            NoteCode.GUESSED,
            f"pixels with {found.mark:g} in all bands were taken as having no data (nodata), "
            "though the file does not say so; state no_data in the parameters",
            count=found.unmarked,
        )
    elif found.holes:
        note(
            NoteCode.DROPPED,
            f"pixels hold no data (nodata; {marks}) and get no answer, the first at "
            f"{_place(found.first_hole, width)}",
            count=found.holes,
        )
    if found.filled:
        note(
            NoteCode.FILLED,
            "pixels lack some bands, which were interpolated between their neighbours, the first "
            f"at {_place(found.first_filled, width)}",
            count=found.filled,
        )


def _place(pixel: int, width: int | None) -> str:
    if width is None:
        return f"spectrum {pixel}"
    return f"row {pixel // width}, column {pixel % width}"
