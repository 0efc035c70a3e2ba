"""What the stored values of a grey TIFF mean: the one place where its tags are applied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.measurements.missing_values import usual_mark, without_marks
from omnivec2.preprocess.formats.measurements.tiff_tags import TiffTags
from omnivec2.preprocess.notes import NoteCode, note

_SWAPPED_SIDES = frozenset({5, 6, 7, 8})
_ROWS_REVERSED = frozenset({3, 4, 7, 8})  # once the sides are swapped
_COLUMNS_REVERSED = frozenset({2, 3, 6, 7})
# ITU-R BT.601 in 16-bit fractions, as Pillow has them for PNG and JPEG.
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
COLOURFUL = 24.0
"""The mean difference between the channels of a picture, of 255, from which it has colours; a grey
picture as JPEG or with a tint stays below 10."""


def apply_no_data(values: Array, stated: float | None, tags: TiffTags) -> Array:
    """Put NaN where a picture's pixels hold no data.

    Args:
        values: The pixels, of any real type.
        stated: The value that the caller states; it comes before the file's own.
        tags: The tags of the file.

    Returns:
        The pixels, as floating point numbers if any of them is missing.
    """
    mark = stated if stated is not None else tags.no_data
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


def brighter_higher(values: Array, tags: TiffTags) -> Array:
    """Return a picture's values so that higher ones are brighter when it is shown.

    Args:
        values: The stored pixels (height, width) of any real type.
        tags: The tags of the file.

    Raises:
        UndecodableError: Values stand for colours that the palette does not have.
    """
    if tags.palette is not None:
        return _brightness(values, tags.palette)
    if not tags.white_is_zero:
        return values
    if values.dtype.kind == "f":
        return -values
    return np.invert(values)  # -1 - x of signed, the largest - x of unsigned integers


def upright(values: Array, tags: TiffTags) -> Array:
    """Turn pictures (..., height, width) as the file's orientation demands."""
    if tags.orientation in _SWAPPED_SIDES:
        values = values.swapaxes(-1, -2)
    if tags.orientation in _ROWS_REVERSED:
        values = values[..., ::-1, :]
    if tags.orientation in _COLUMNS_REVERSED:
        values = values[..., ::-1]
    return np.ascontiguousarray(values)


def _brightness(indices: Array, palette: Array) -> npt.NDArray[np.uint8]:
    """Return the grey values of indices into a palette (3, colours) of 16 bits."""
    if indices.dtype.kind != "u" or palette.ndim != 2 or len(palette) != 3:
        raise UndecodableError("the TIFF has indices of a palette, but no palette", field="inputs")
    if indices.max() >= palette.shape[1]:
        raise UndecodableError("the TIFF has indices outside of its palette", field="inputs")
    eight_bits = palette.astype(np.uint32) >> (8 if palette.max() > 255 else 0)
    if float(np.ptp(eight_bits[:, np.unique(indices)], axis=0).mean()) > COLOURFUL:
        note_false_colours()
    grey = (_LUMA @ eight_bits + (1 << 15)) >> 16
    return np.asarray(grey.astype(np.uint8)[indices])


def note_false_colours() -> None:
    """Say that only the brightness of false colours is kept."""
    note(
        NoteCode.GUESSED,
        "the picture has false colours (a palette such as iron or rainbow); their brightness "
        "was taken as the temperature; send a grey (white-hot) or radiometric picture",
    )
