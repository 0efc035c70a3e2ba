"""TIFF -> a picture as a viewer shows it, by what its tags say.

Pages are decoded by tifffile after they were checked. Pillow is not used: it reads but the first
page, few types of samples and no separate planes, and libtiff below it writes to stderr.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.plain_pictures import StoredPicture, to_plain_mode
from omnivec2.preprocess.formats.pictures.sample_depth import to_uint8
from omnivec2.preprocess.formats.pictures.tiff_pages.samples import (
    CMYK,
    LAB,
    YCBCR,
    TiffSamples,
    choose_page,
    read_samples,
)
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_tags
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_PROFILE = 34675


def read_colour_tiff(data: bytes, limits: Limits) -> StoredPicture:
    """Decode the first whole page: no thumbnail, no mask.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the file is whole, but of a kind that is not supported.
    """
    check_tags(data)
    with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        page, has_more = choose_page(file)
        if has_more:
            note(NoteCode.IGNORED, "the TIFF has several pages; only the first was read")
        samples = read_samples(page, data, limits)
        profile = page.tags.valueof(_PROFILE)
        profile = profile if isinstance(profile, bytes) else None
        pixels = to_plain_mode(_picture(samples), profile)
        return StoredPicture(pixels, pixels.size, samples.orientation, profile)


def _picture(samples: TiffSamples) -> Image.Image:
    planes = to_uint8(samples.colours, samples.white)
    if samples.photometric == CMYK:
        return _of_mode("CMYK", planes)
    if samples.photometric == LAB:
        if samples.colours.dtype != np.uint8:
            raise InvalidInputError(
                "unsupported: Lab colours of other than 8 bits; convert it to RGB", field="inputs"
            )
        return _of_mode("LAB", planes)
    if samples.photometric == YCBCR:
        return _of_mode("YCbCr", planes)
    if samples.alpha is None:
        return Image.fromarray(planes[..., 0] if planes.shape[-1] == 1 else planes)
    alpha = _opacity(samples.alpha, samples.white)
    if planes.shape[-1] == 1:
        planes = np.repeat(planes, 3, axis=-1)
    planes = np.concatenate([planes, alpha[..., None]], axis=-1)
    return _of_mode("RGBa" if samples.is_premultiplied else "RGBA", planes)


def _of_mode(mode: str, planes: npt.NDArray[np.uint8]) -> Image.Image:
    size = planes.shape[1], planes.shape[0]
    return Image.frombytes(mode, size, np.ascontiguousarray(planes).tobytes())


def _opacity(alpha: Array, white: int | None) -> npt.NDArray[np.uint8]:
    if alpha.dtype.kind == "f":
        return raster.scale_to_uint8(alpha, 0, 1 if np.nanmax(alpha) <= 1 else 255)
    most = int(np.iinfo(alpha.dtype).max)
    if white is not None and alpha.max() <= white:
        most = white
    return raster.scale_to_uint8(alpha, 0, most)
