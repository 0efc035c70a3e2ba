"""Pictures -> RGB pixels; the ImageNet mean and deviation are in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Prepared
from omnivec2.preprocess.formats.guards.decoding_guard import format_of
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.colour_profile import convert_to_srgb
from omnivec2.preprocess.formats.pictures.picture_files import read_picture
from omnivec2.preprocess.formats.pictures.plain_pictures import to_plain_mode
from omnivec2.preprocess.formats.pictures.single_picture import (
    PictureParameters,
    PicturePreprocessor,
)
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits, Modality

MEDIA_TYPES = {
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",
    "image/pjpeg": "JPEG",
    "image/png": "PNG",
    "image/x-png": "PNG",
    "image/apng": "PNG",
    "image/webp": "WebP",
    "image/tiff": "TIFF",
    "image/x-tiff": "TIFF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/x-bmp": "BMP",
    "image/x-ms-bmp": "BMP",
    "image/avif": "AVIF",
    "image/heic": "HEIC",
    "image/heif": "HEIC",
}
_EVEN_LEVELS = 2
"""A picture whose levels differ by no more shows nothing."""


class ImageParameters(PictureParameters):
    """Frozen parameters of the image preprocessor."""

    height: int = 96
    width: int = 96
    resize: raster.ResizeMode = "crop"


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: The pixels, upright, in mode L, RGB or RGBA; a large JPEG may be decoded at
            1/2, 1/4 or 1/8 of its size, but never smaller than the network's input.
        size: The (width, height) of the original, upright.
        profile: The ICC profile of the pixels' colours, or None; with one they may be CMYK.
    """

    pixels: Image.Image
    size: tuple[int, int]
    profile: bytes | None = None


class ImagePreprocessor(
    PicturePreprocessor[ImageParameters, Picture | Image.Image | npt.NDArray[np.uint8]]
):
    """JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF or HEIC -> pixels; of several pictures the first."""

    modality = Modality.IMAGE
    channels = 3
    media_types: ClassVar[dict[str, str]] = MEDIA_TYPES
    parameters_type = ImageParameters
    default_limits = Limits(bytes=20 * 2**20, pixels=50_000_000)

    def decode(self, data: bytes, media_type: str | None = None) -> Picture:
        """Decode one picture, turned upright; see the base class for errors."""
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        wanted = (self.parameters.width, self.parameters.height)
        stored = read_picture(data, kind, self.limits, wanted)
        turn = stored.orientation
        size = raster.upright_size(stored.size, turn)
        return Picture(raster.upright(stored.pixels, turn), size, stored.profile)

    def prepare(self, native: Picture | Image.Image | npt.NDArray[np.uint8]) -> Prepared:
        """Resize to the network's size, on a white background where pixels are transparent.

        Args:
            native: A decoded picture, or a uint8 array (height, width[, 3 or 4]).
        """
        if isinstance(native, np.ndarray):
            native = _from_array(native)
        if isinstance(native, Image.Image):
            native = Picture(to_plain_mode(native), native.size)
        p = self.parameters
        picture = raster.resize(native.pixels, (p.width, p.height), p.resize)
        picture = convert_to_srgb(picture, native.profile)  # resized first: it is far smaller
        if picture.mode == "RGBA":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        pixels = np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))
        _note_if_even(pixels)
        return Prepared([{"pixels": pixels}], {"size": native.size})


def _from_array(array: npt.NDArray[np.uint8]) -> Image.Image:
    channels = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim < 2 or channels not in ((), (3,), (4,)):
        raise InvalidInputError(
            f"expected uint8 pixels (height, width, 3), got {array.dtype} {array.shape}"
            f"{_range_of(array)}",
            field="inputs",
        )
    if array.size == 0:
        raise InvalidInputError(f"a picture of shape {array.shape} is empty", field="inputs")
    return Image.fromarray(array)


def _range_of(array: npt.NDArray[Any]) -> str:
    """Return what to do about the range of pixels that are no bytes; nothing for other arrays."""
    if array.dtype == np.uint8 or array.dtype.kind not in "biuf":
        return ""
    known = array[np.isfinite(array)]
    if known.size == 0:
        return ""
    return (
        f" of {known.min():g} to {known.max():g}; scale black to 0 and white to 255 and round, "
        "as in (pixels / white * 255).round().astype('uint8')"
    )


def _note_if_even(pixels: npt.NDArray[np.uint8]) -> None:
    # Two pixels answer for nearly every picture, at no cost.
    height, width, _ = pixels.shape
    middle = pixels.item(height // 2, width // 2, 0)
    if abs(middle - pixels.item(0, 0, 0)) > _EVEN_LEVELS:
        return
    if abs(middle - pixels.item(height // 5, width // 3, 0)) > _EVEN_LEVELS:
        return
    if np.ptp(pixels.reshape(-1, pixels.shape[-1]), axis=0).max() <= _EVEN_LEVELS:
        note(
            NoteCode.EMPTY,
            "the picture shows one even colour, or is transparent all over: there is nothing to "
            "recognise in it",
        )


PREPROCESSOR = ImagePreprocessor
