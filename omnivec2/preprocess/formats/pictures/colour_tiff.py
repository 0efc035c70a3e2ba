"""TIFF -> a picture as a viewer shows it, by what its tags say.

Pages of ordinary bytes (8-bit grey, RGB, CMYK, YCbCr, Lab) are decoded by Pillow; deep samples,
palettes, separate planes and rarer compressions by tifffile. Both get a page that was checked.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.picture_files import StoredPicture, to_plain_mode
from omnivec2.preprocess.formats.pictures.sample_depth import significant_bits, to_uint8
from omnivec2.preprocess.formats.pictures.tiff_segments import check_page, check_tags
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

MAX_PAGES = 64
"""The most pages that are looked at to find the picture among reduced copies and masks."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 4, 5, 6, 8
_GREYS = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _MASK)
_REDUCED_OR_MASK = 0b101  # NewSubfileType
_ASSOCIATED, _ALPHAS = 1, (1, 2)
_ORIENTATION, _MAX_SAMPLE_VALUE, _PROFILE = 274, 281, 34675
_PLAIN_SAMPLES = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4, _YCBCR: 3, _LAB: 3}
# What Pillow's libtiff decodes: none, CCITT, LZW, JPEG, deflate, PackBits, LZMA, Zstandard.
_PLAIN_CODINGS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000})
_COLOURS_INSIDE = frozenset({6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 50001, 34927})
_UNNAMED_COLOURS = (3, 4)


def read_colour_tiff(data: bytes, limits: Limits) -> StoredPicture:
    """Decode the first whole page: no thumbnail, no mask.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the file is whole, but of a kind that is not supported.
    """
    check_tags(data)
    with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _choose_page(file)
        if _is_plain(page):
            alone = _starting_at(page, data)
            check_tags(alone)
            try:
                picture = raster.open_picture(alone, "TIFF", limits)
            except UndecodableError:
                pass  # a kind that Pillow does not know, or damage, which shows below
            else:
                return _plain(picture, page)
        check_page(page, data, limits)
        return _deep(page)


def _choose_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """Return the first page that is no reduced copy and no mask, else the first of all."""
    chosen: tifffile.TiffPage | None = None
    for page in _first_pages(file.pages):
        if page.subfiletype & _REDUCED_OR_MASK:
            continue
        if chosen is not None:
            note(NoteCode.IGNORED, "the TIFF has several pages; only the first was read")
            break
        chosen = page
    if chosen is not None:
        return chosen
    first = file.pages.first
    if first.pages is not None:  # camera's raw files
        for page in _first_pages(first.pages):
            if not page.subfiletype & _REDUCED_OR_MASK:
                return page
    note(NoteCode.GUESSED, "every page of the TIFF is marked as a reduced copy; one was read")
    return first


def _first_pages(pages: tifffile.TiffPages) -> list[tifffile.TiffPage]:
    found: list[tifffile.TiffPage] = []
    for page in pages:
        if isinstance(page, tifffile.TiffPage):
            found.append(page)
        if len(found) == MAX_PAGES:
            break
    return found


def _is_plain(page: tifffile.TiffPage) -> bool:
    """Whether Pillow shows a page as its tags mean it."""
    colours = _PLAIN_SAMPLES.get(page.photometric)
    bits = page.bitspersample
    if colours is None or page.sampleformat != 1 or page.compression not in _PLAIN_CODINGS:
        return False
    if page.imagedepth > 1:
        return False
    if page.samplesperpixel == 1:
        return bits <= 8
    extras = page.samplesperpixel - colours
    if bits != 8 or page.planarconfig != 1 or extras < 0:
        return False
    return extras == 0 or colours > 1 or tuple(page.extrasamples) in ((1,), (2,))


def _starting_at(page: tifffile.TiffPage, data: bytes) -> bytes:
    """Return the file with a page as its first one."""
    order = page.parent.byteorder
    if page.parent.is_bigtiff:
        return data[:8] + struct.pack(f"{order}Q", page.offset) + data[16:]
    return data[:4] + struct.pack(f"{order}I", page.offset) + data[8:]


def _plain(picture: Image.Image, page: tifffile.TiffPage) -> StoredPicture:
    extras = tuple(page.extrasamples)
    if extras and extras[0] not in _ALPHAS:
        _note_bands(page.samplesperpixel - len(extras), page.samplesperpixel)
    raster.load(picture, "TIFF")  # which turns it upright, too
    profile = picture.info.get("icc_profile")
    return StoredPicture(to_plain_mode(picture, profile), picture.size, profile=profile)


def _note_bands(used: int, count: int) -> None:
    note(
        NoteCode.IGNORED,
        f"only {used} of the {count} bands (samples per pixel) of the TIFF were used; the others "
        "have no meaning as colour or transparency",
        count=count - used,
    )


@dataclass(frozen=True)
class _Samples:
    """Samples of a page, apart by meaning: (height, width, 1, 3 or 4) and transparency."""

    colours: Array
    alpha: Array | None = None
    premultiplied: bool = False


def _deep(page: tifffile.TiffPage) -> StoredPicture:
    _check_kind(page)
    samples = _by_meaning(_pixels_last(page), page)
    if page.photometric == _PALETTE:
        pixels = Image.fromarray(_palette_colours(samples.colours[..., 0], page))
    else:
        pixels = _picture(samples, page)
    orientation = page.tags.valueof(_ORIENTATION, 1)
    profile = page.tags.valueof(_PROFILE)
    return StoredPicture(
        to_plain_mode(pixels, profile),
        pixels.size,
        orientation if isinstance(orientation, int) else 1,
        bytes(profile) if isinstance(profile, bytes) else None,
    )


def _check_kind(page: tifffile.TiffPage) -> None:
    """Refuse by name what has no meaning as a picture here."""
    name = getattr(page.photometric, "name", str(page.photometric))
    reason = None
    if page.photometric not in (*_GREYS, _RGB, _PALETTE, _CMYK, _YCBCR):
        reason = f"a TIFF of photometric interpretation {name}"
    elif page.dtype is None or page.dtype.kind not in "iufb":
        reason = f"TIFF samples of type {page.dtype}"
    elif page.imagedepth > 1:
        reason = f"a TIFF volume of {page.imagedepth} slices"
    elif page.is_subsampled and page.compression not in _COLOURS_INSIDE:
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


def _by_meaning(values: Array, page: tifffile.TiffPage) -> _Samples:
    """Tell colours from transparency and from bands that mean neither.

    Raises:
        InvalidInputError: there are several bands, and none has a meaning as colour.
    """
    count = values.shape[-1]
    extras = tuple(int(extra) for extra in page.extrasamples)
    colours = 1 if page.photometric in (*_GREYS, _PALETTE) else _PLAIN_SAMPLES[page.photometric]
    extras = extras[-(count - colours) :] if count > colours else ()
    if count == 4 and page.photometric == _RGB and not extras:  # some programs leave it out
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
    return _Samples(
        values[..., :colours],
        None if alpha is None else values[..., alpha],
        alpha is not None and extras[alpha - count + len(extras)] == _ASSOCIATED,
    )


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


def _picture(samples: _Samples, page: tifffile.TiffPage) -> Image.Image:
    colours = samples.colours
    white = _stated_white(colours, page)
    if page.photometric == _WHITE_IS_ZERO:
        colours = _inverted(colours, white)
    planes = to_uint8(colours, white)
    if page.photometric == _CMYK:
        return _of_mode("CMYK", planes)
    if page.photometric == _YCBCR and page.compression not in _COLOURS_INSIDE:
        return _of_mode("YCbCr", planes)
    if samples.alpha is None:
        return Image.fromarray(planes[..., 0] if planes.shape[-1] == 1 else planes)
    alpha = _opacity(samples.alpha, white)
    if planes.shape[-1] == 1:
        planes = np.repeat(planes, 3, axis=-1)
    planes = np.concatenate([planes, alpha[..., None]], axis=-1)
    return _of_mode("RGBa" if samples.premultiplied else "RGBA", planes)


def _of_mode(mode: str, planes: npt.NDArray[np.uint8]) -> Image.Image:
    size = planes.shape[1], planes.shape[0]
    return Image.frombytes(mode, size, np.ascontiguousarray(planes).tobytes())


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


def _opacity(alpha: Array, white: int | None) -> npt.NDArray[np.uint8]:
    if alpha.dtype.kind == "f":
        return raster.scale_to_uint8(alpha, 0, 1 if np.nanmax(alpha) <= 1 else 255)
    most = int(np.iinfo(alpha.dtype).max)
    if white is not None and alpha.max() <= white:
        most = white
    return raster.scale_to_uint8(alpha, 0, most)
