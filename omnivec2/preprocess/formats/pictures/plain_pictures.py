"""A decoded picture, and its conversion to the few modes that the rest works with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.pictures.colour_profile import lab_to_srgb
from omnivec2.preprocess.formats.pictures.sample_depth import to_uint8

_PLAIN = frozenset({"L", "RGB", "RGBA"})
_WITH_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_CONVERTED = frozenset({"1", "P", "CMYK", "YCbCr", "HSV", "RGBX"})
_WIDE = frozenset({"I", "F"})


@dataclass(frozen=True)
class StoredPicture:
    """A decoded picture, as it is stored.

    Attributes:
        pixels: The pixels, in mode L, RGB, RGBA, or CMYK if there is a profile.
        size: The (width, height) of the whole picture, as stored; the pixels may be fewer.
        orientation: The EXIF orientation, 1 to 8.
        profile: The ICC profile of the colours, or None.
    """

    pixels: Image.Image
    size: tuple[int, int]
    orientation: int = 1
    profile: bytes | None = None


def to_plain_mode(picture: Image.Image, profile: bytes | None = None) -> Image.Image:
    """Convert a picture to mode L, RGB or RGBA; CMYK stays if a profile says what it means.

    Raises:
        InvalidInputError: a colour space that has no plain conversion.
    """
    mode = picture.mode
    if mode in _WITH_ALPHA or (picture.has_transparency_data and not mode.startswith("I")):
        return picture if mode == "RGBA" else picture.convert("RGBA")
    if mode in _PLAIN or (mode == "CMYK" and profile):
        return picture
    if mode in _CONVERTED:
        return picture.convert("RGB")
    if mode == "LAB":
        return lab_to_srgb(picture)
    if mode.startswith("I;16"):
        return Image.fromarray(to_uint8(np.asarray(picture).astype(np.uint16)))
    if mode in _WIDE:
        return Image.fromarray(to_uint8(np.asarray(picture)))
    raise InvalidInputError(f"pictures of colour space {mode} are not supported", field="inputs")
