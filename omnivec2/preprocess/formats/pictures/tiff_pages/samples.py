"""The samples of a TIFF page by their meaning: grey, colours, indices of a palette, transparency.

One place says which page is the picture, and what its photometric interpretation, its extra
samples and its palette mean (TIFF 6.0, sections 3 to 8 and 18).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import tifffile

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.pictures.sample_bits import significant_bits
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_page
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

MAX_PAGES = 64
"""The most pages that are looked at to find the picture among reduced copies and masks."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
"""Values of PhotometricInterpretation."""

_GREYS = (WHITE_IS_ZERO, BLACK_IS_ZERO, MASK)
_REDUCED_OR_MASK = 0b101  # NewSubfileType
_ASSOCIATED, _ALPHAS = 1, (1, 2)
_ORIENTATION, _MAX_SAMPLE_VALUE = 274, 281
_COLOUR_SAMPLES = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}
_UNNAMED_COLOURS = (3, 4)
# JPEG, JPEG 2000 and WebP turn YCbCr into RGB themselves.
_COLOURS_INSIDE = frozenset({6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 50001})


@dataclass(frozen=True)
class TiffSamples:
    """The samples of a page.

    Attributes:
        photometric: The photometric interpretation; RGB for a palette whose colours are put in.
        colours: The samples (height, width, 1, 3 or 4) of the file's own type; zero is black.
        white: The value of white of unsigned samples that do not fill their type, or None.
        alpha: The transparency (height, width) of the same type, or None.
        is_premultiplied: Whether the colours are multiplied with the transparency.
        orientation: The EXIF orientation, 1 to 8.
    """

    photometric: int
    colours: Array
    white: int | None = None
    alpha: Array | None = None
    is_premultiplied: bool = False
    orientation: int = 1


def read_samples(page: tifffile.TiffPage, data: bytes, limits: Limits) -> TiffSamples:
    """Check and decode a page of an open file.

    Raises:
        UndecodableError: the page is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the page is whole, but of a kind that is not supported.
    """
    _check_kind(page)
    check_page(page, data, limits)
    values = _pixels_last(page)
    turn = page.tags.valueof(_ORIENTATION, 1)
    orientation = turn if isinstance(turn, int) else 1
    photometric = int(page.photometric)
    if photometric == PALETTE:
        colours: Array = _palette_colours(values[..., 0], page)
        return TiffSamples(RGB, colours, orientation=orientation)
    colours, alpha, is_premultiplied = _by_meaning(values, page)
    white = _stated_white(colours, page)
    if photometric == WHITE_IS_ZERO:
        colours = _inverted(colours, white)
    if photometric == YCBCR and page.compression in _COLOURS_INSIDE:
        photometric = RGB
    return TiffSamples(photometric, colours, white, alpha, is_premultiplied, orientation)


def choose_page(file: tifffile.TiffFile) -> tuple[tifffile.TiffPage, bool]:
    """Return the first page that is no reduced copy and no mask, and whether there are more.

    If all of them are marked as such, it is the first page within the first one, as in cameras'
    raw files, or else the first of all, which is noted.
    """
    whole: list[tifffile.TiffPage] = []
    for page in _first_pages(file.pages):
        if not page.subfiletype & _REDUCED_OR_MASK:
            whole.append(page)
        if len(whole) > 1:
            break
    if whole:
        return whole[0], len(whole) > 1
    first = file.pages.first
    for page in _first_pages(first.pages):
        if not page.subfiletype & _REDUCED_OR_MASK:
            return page, False
    note(NoteCode.GUESSED, "every page of the TIFF is marked as a reduced copy; one was read")
    return first, False


def _first_pages(pages: tifffile.TiffPages | None) -> Iterator[tifffile.TiffPage]:
    for page in islice(pages or (), MAX_PAGES):
        if isinstance(page, tifffile.TiffPage):
            yield page


def _note_bands(used: int, count: int) -> None:
    note(
        NoteCode.IGNORED,
        f"only {used} of the {count} bands (samples per pixel) of the TIFF were used; the others "
        "have no meaning as colour or transparency",
        count=count - used,
    )


def _check_kind(page: tifffile.TiffPage) -> None:
    """Refuse by name what has no meaning as a picture here."""
    name = getattr(page.photometric, "name", str(page.photometric))
    reason = None
    if page.photometric not in (*_GREYS, PALETTE, *_COLOUR_SAMPLES):
        reason = f"a TIFF of photometric interpretation {name}"
    elif page.dtype is None or page.dtype.kind not in "iufb":
        reason = f"TIFF samples of type {page.dtype}"
    elif page.imagedepth > 1:
        reason = f"a TIFF volume of {page.imagedepth} slices"
    elif (
        page.photometric == YCBCR and page.is_subsampled and page.compression not in _COLOURS_INSIDE
    ):
        reason = f"a TIFF with subsampled {name} in this layout"
    if reason is not None:
        raise InvalidInputError(
            f"unsupported: {reason}; convert it to grey or RGB, for example with: "
            "magick INPUT -colorspace sRGB output.png",
            field="inputs",
        )


def _pixels_last(page: tifffile.TiffPage) -> Array:
    """Decode a page to (height, width, samples)."""
    values: Array = np.asarray(page.asarray(maxworkers=1, squeeze=False))
    planes, _, height, width, contiguous = values.shape
    if planes > 1:
        return np.moveaxis(values[:, 0, :, :, 0], 0, -1)
    return values.reshape(height, width, contiguous)


def _by_meaning(values: Array, page: tifffile.TiffPage) -> tuple[Array, Array | None, bool]:
    """Tell colours from transparency and from bands that mean neither.

    Returns:
        The colours, the transparency, and whether the colours are multiplied with it.

    Raises:
        InvalidInputError: there are several bands, and none has a meaning as colour.
    """
    count = values.shape[-1]
    extras = tuple(int(extra) for extra in page.extrasamples)
    colours = 1 if page.photometric in _GREYS else _COLOUR_SAMPLES[int(page.photometric)]
    extras = extras[-(count - colours) :] if count > colours else ()
    if count == 4 and page.photometric == RGB and not extras:  # some programs leave it out
        extras = (2,)
    alpha = next((colours + i for i, extra in enumerate(extras) if extra in _ALPHAS), None)
    unnamed = count - (alpha is not None)
    if page.photometric in _GREYS and unnamed in _UNNAMED_COLOURS:
        note(
            NoteCode.GUESSED,
            f"the {unnamed} bands (samples per pixel) of the TIFF have no meaning as colours; the "
            "first three were taken as red, green and blue; save it with PHOTOMETRIC=RGB",
        )
        colours = 3
    elif page.photometric in _GREYS and unnamed > max(_UNNAMED_COLOURS):
        raise InvalidInputError(
            f"unsupported: a TIFF of {unnamed} bands (samples per pixel) without colour meaning; "
            "choose three with: gdal_translate -b 3 -b 2 -b 1 -co PHOTOMETRIC=RGB INPUT output.tif",
            field="inputs",
        )
    elif unnamed > colours:
        _note_bands(colours, unnamed)
    if alpha is None:
        return values[..., :colours], None, False
    is_premultiplied = extras[alpha - count + len(extras)] == _ASSOCIATED
    return values[..., :colours], values[..., alpha], is_premultiplied


def _palette_colours(indices: Array, page: tifffile.TiffPage) -> npt.NDArray[np.uint8]:
    colours: Array | None = page.colormap
    if colours is None or colours.ndim != 2 or indices.dtype.kind != "u":
        raise UndecodableError("the TIFF has indices of a palette, but no palette", field="inputs")
    if indices.max() >= colours.shape[1]:
        raise UndecodableError("the TIFF has indices outside of its palette", field="inputs")
    if colours.max() > 255:
        colours = colours >> 8
    else:
        note(NoteCode.REPAIRED, "the palette of the TIFF has 8 bits instead of 16")
    return np.ascontiguousarray(colours.astype(np.uint8).T[indices])


def _stated_white(colours: Array, page: tifffile.TiffPage) -> int | None:
    """Return the value of white of unsigned samples that do not fill their type, if stated."""
    bits = page.bitspersample
    if colours.dtype.kind != "u" or not isinstance(bits, int):
        return None
    if bits < 8 * colours.dtype.itemsize:
        return (1 << bits) - 1
    stated = page.tags.valueof(_MAX_SAMPLE_VALUE)
    stated = stated[0] if isinstance(stated, tuple) and stated else stated
    if not isinstance(stated, int) or colours.dtype != np.uint16:
        return None
    is_depth = stated & (stated + 1) == 0 and 255 <= stated < 0xFFFF
    return stated if is_depth and colours.max() <= stated else None


def _inverted(values: Array, white: int | None) -> Array:
    """Turn samples whose zero is white into those whose zero is black."""
    if values.dtype.kind == "b":
        return ~values
    if values.dtype.kind == "f":
        return np.where(np.nanmax(values) <= 1, 1, 0).astype(values.dtype) - values
    if values.dtype.kind == "i":
        return -1 - values
    if white is None and values.dtype == np.uint16:
        white = (1 << significant_bits(values)) - 1
    return np.asarray((np.iinfo(values.dtype).max if white is None else white) - values).astype(
        values.dtype
    )
