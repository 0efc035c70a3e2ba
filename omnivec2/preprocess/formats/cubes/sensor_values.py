"""What a cube's metadata means for its values: the one place where it is applied."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.cubes.cube import Cube
from omnivec2.preprocess.formats.cubes.holes import close_holes
from omnivec2.preprocess.formats.cubes.wavelengths import Sensor, match_bands
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_MOST_CHECKED = 20_000
_LARGEST_REFLECTANCE = 2.0


def sensor_values(
    cube: Cube, bands: int, sensor: Sensor | None, limits: Limits, scale: float | None
) -> Array:
    """Bring a cube to the bands and the scale of a head's sensor.

    Args:
        cube: The cube of a file, with what the caller stated put in.
        bands: The number of bands of the head.
        sensor: The sensor that it was trained on, None if nothing is known of it.
        limits: The head's limits.
        scale: The factor to the head's raw values that the caller states.

    Returns:
        An array (height, width, bands) or (spectra, bands); pixels without data are 0 in all
        bands.

    Raises:
        InvalidInputError: The bands are not the head's, or no pixel holds data.
        TooLargeError: There are more pixels than the limit.
    """
    if cube.bands_axis is None and [*cube.values.shape].count(bands) > 1:
        note(
            NoteCode.GUESSED,
            f"several axes of {cube.values.shape} have {bands} entries; the last of them, or else "
            "the first, was taken as the bands",
        )
    cube = _good_bands(cube.bands_last(bands), bands)
    cube.check_pixels(limits)
    values = close_holes(_at_most_32_bits(cube.values), cube.no_data)
    if sensor is not None and cube.wavelengths_nm is not None:
        values = match_bands(values, cube.wavelengths_nm, sensor)
    if values.shape[-1] != bands:
        raise InvalidInputError(
            f"expected {bands} bands, got an array of shape {cube.values.shape}", field="inputs"
        )
    return _in_raw_units(values, cube, sensor, scale)


def _at_most_32_bits(values: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32) if values.dtype.itemsize > 4 else values


def _good_bands(cube: Cube, bands: int) -> Cube:
    """Leave out the bands that are marked as bad, or interpolate them if the head has them."""
    bad = cube.bad_bands
    if bad is None or not bad.any():
        return cube
    found, good = len(bad), int((~bad).sum())
    if found != bands and good == bands:
        waves = cube.wavelengths_nm
        return replace(
            cube,
            values=cube.values[..., ~bad],
            wavelengths_nm=None if waves is None else waves[~bad],
        )
    if found != bands:
        raise InvalidInputError(
            f"expected {bands} bands, the cube has {found}, {good} of them good by its bad bands "
            "list (bbl)",
            field="inputs",
        )
    if good == 0:
        raise InvalidInputError("the bad bands list (bbl) leaves no band", field="inputs")
    note(
        NoteCode.FILLED,
        "bands that the bad bands list (bbl) marks were interpolated between their neighbours",
        field="bbl",
        count=found - good,
    )
    places = np.arange(bands)
    right = np.clip(np.searchsorted(places[~bad], places), 1, good - 1) if good > 1 else None
    values = cube.values.astype(np.float32)
    if right is None:
        values[...] = values[..., ~bad]
    else:
        low, high = places[~bad][right - 1], places[~bad][right]
        weight = np.clip((places - low) / (high - low), 0, 1).astype(np.float32)[bad]
        values[..., bad] = values[..., low[bad]] * (1 - weight) + values[..., high[bad]] * weight
    return replace(cube, values=values)


def _in_raw_units(values: Array, cube: Cube, sensor: Sensor | None, scale: float | None) -> Array:
    """Scale values as stated, and say so if they are not those that the head knows."""
    if cube.ignored:
        note(
            NoteCode.IGNORED,
            f"the file's {', '.join(cube.ignored)} were not applied: the head takes raw sensor "
            "values, not units of radiance or reflectance",
        )
    if scale is not None:
        return values.astype(np.float32) * np.float32(scale)
    if sensor is None:
        return values
    step = max(1, math.isqrt(values.size // _MOST_CHECKED))
    sample = values[::step, ::step] if values.ndim == 3 else values[:: step * step]
    sample = sample[sample != 0] if sample.any() else values[values != 0]
    median, high = (float(value) for value in np.percentile(sample, (50, 99)))
    factor = cube.reflectance_factor
    if factor is not None and factor > 1 and high <= _LARGEST_REFLECTANCE:
        note(
            NoteCode.CONVERTED,
            f"reflectances of 0 to 1 were multiplied by the header's reflectance scale factor of "
            f"{factor:g}; the head was trained on raw values of {sensor.name}",
        )
        return values.astype(np.float32) * np.float32(factor)
    low_usual, high_usual = sensor.usual
    if not low_usual <= median <= high_usual:
        looks = ", as reflectances do" if 0 <= median <= _LARGEST_REFLECTANCE else ""
        note(
            NoteCode.UNUSUAL,
            f"the values (median {median:g}) lie outside of the range of raw sensor values of "
            f"{sensor.name} ({low_usual:g} to {high_usual:g}){looks}; state their scale in the "
            "parameters or send raw values",
        )
    elif factor is not None and factor > 1:
        note(
            NoteCode.UNUSUAL,
            f"the header states reflectances (reflectance scale factor {factor:g}); the head was "
            f"trained on raw sensor values of {sensor.name}",
        )
    return values
