"""Thermal TIFF pictures: values of which high ones are warm, and NaN where there is no data."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import tifffile

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.measurements.missing_values import (
    is_mark,
    usual_mark,
    without_marks,
)
from omnivec2.preprocess.formats.measurements.tiff_tags import tags_of
from omnivec2.preprocess.formats.pictures.raster import luma, upright_array
from omnivec2.preprocess.formats.pictures.tiff_pages.samples import (
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    TiffSamples,
    choose_page,
    read_samples,
)
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_tags
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_COLOURFUL = 24 / 255
"""The mean difference between the channels of a picture, as a share of white, from which it has
colours; a grey picture as JPEG or with a tint stays below a half of it."""

_CHECKED = 300_000
_GREYS = (WHITE_IS_ZERO, 1)


def read_thermal_tiff(data: bytes, limits: Limits, no_data: float | None) -> Array:
    """Read the picture of a TIFF, upright.

    Args:
        data: The file.
        limits: The head's limits.
        no_data: The value of pixels without data that the caller states; it comes before the
            file's own.

    Returns:
        An array (height, width) of the file's own type, of 8 bits from a palette, or of floating
        point numbers if pixels are without data, which are NaN: those that hold the value, or
        that are transparent.

    Raises:
        UndecodableError: The file is damaged or truncated.
        TooLargeError: A declared size is over its limit.
        InvalidInputError: The file is whole, but neither grey nor RGB.
    """
    check_tags(data)
    with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        page, has_more_pages = choose_page(file)
        if has_more_pages:
            note(NoteCode.IGNORED, "the TIFF has several pages; only the first was read")
        mark = no_data if no_data is not None else tags_of(page).no_data
        samples = read_samples(page, data, limits)
        values = _grey(samples)
        missing = _transparent(samples)
        if mark is not None and samples.photometric == WHITE_IS_ZERO:
            stored: Array = np.asarray(page.asarray(maxworkers=1)).reshape(values.shape)
            missing = is_mark(stored, mark) if missing is None else missing | is_mark(stored, mark)
        elif page.photometric != PALETTE:
            values = apply_no_data(values, mark)
    return upright_array(hide(values, missing), samples.orientation)


def apply_no_data(values: Array, mark: float | None) -> Array:
    """Put NaN where a picture's pixels hold no data.

    Args:
        values: The pixels, of any real type.
        mark: The value of pixels without data that the caller or the file states; None if neither
            does, so that usual values are looked for.

    Returns:
        The pixels, as floating point numbers if any of them is missing.
    """
    if mark is not None:
        return without_marks(values, mark)[0]
    mark = usual_mark(values)
    if mark is None:
        return values
    cleaned, count = without_marks(values, mark)
    note(
        NoteCode.GUESSED,
        f"pixels of the value {mark:g} were taken as having no data (nodata), though the file "
        "does not say so; state no_data in the parameters, or write the GDAL_NODATA tag",
        count=count,
    )
    return cleaned


def hide(values: Array, missing: npt.NDArray[np.bool_] | None) -> Array:
    """Return values with NaN where they are missing; the same array if none is."""
    if missing is None or not missing.any():
        return values
    hidden = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    hidden[missing] = np.nan
    return hidden


def note_false_colours(colours: Array, white: float) -> None:
    """Say so if colours (height, width, 3) are more than a tint: only their brightness is kept."""
    step = max(
        1, int(colours.size // 3e5) if colours.ndim == 2 else round((colours.size / 3e5) ** 0.5)
    )
    sample = colours[::step] if colours.ndim == 2 else colours[::step, ::step]
    if float(np.ptp(sample.astype(np.float64), axis=-1).mean()) > _COLOURFUL * white:
        note(
            NoteCode.GUESSED,
            "the picture has false colours (a palette such as iron or rainbow); their brightness "
            "was taken as the temperature; send a grey (white-hot) or radiometric picture",
        )


def _grey(samples: TiffSamples) -> Array:
    colours = samples.colours
    if samples.photometric not in (*_GREYS, RGB) or colours.shape[-1] not in (1, 3):
        raise InvalidInputError("expected a grey or RGB TIFF of thermal values", field="inputs")
    if colours.dtype.kind == "b":
        colours = colours.astype(np.uint8)
    if colours.shape[-1] == 1:
        return colours[..., 0]
    is_float = colours.dtype.kind == "f"
    white = float(np.nanmax(colours)) if is_float else float(colours.max()) or 1.0
    note_false_colours(colours, white)
    return colours.mean(axis=-1) if is_float else luma(colours)


def _transparent(samples: TiffSamples) -> npt.NDArray[np.bool_] | None:
    return None if samples.alpha is None else np.asarray(samples.alpha == 0)
