"""Pictures -> RGB pixels; the ImageNet mean and deviation are in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    input_shape,
)
from omnivec2.preprocess.formats import example_files
from omnivec2.preprocess.formats.guards.decoding_guard import format_of, undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.random_pictures import random_pictures
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

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
}
_PLAIN = frozenset({"L", "RGB", "RGBA"})
_WITH_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_CONVERTED = frozenset({"1", "P", "CMYK", "YCbCr", "HSV", "RGBX"})
_WIDE = frozenset({"I", "F"})


class ImageParameters(Parameters):
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
    """

    pixels: Image.Image
    size: tuple[int, int]


class ImagePreprocessor(
    Preprocessor[ImageParameters, Picture | Image.Image | npt.NDArray[np.uint8]]
):
    """JPEG, PNG, WebP, TIFF, GIF or BMP -> pixels; of several pictures the first."""

    modality = Modality.IMAGE
    media_types: ClassVar[dict[str, str]] = MEDIA_TYPES
    parameters_type = ImageParameters
    default_limits = Limits(bytes=20 * 2**20, pixels=50_000_000)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``pixels`` uint8 (height, width, 3), RGB."""
        shape = (self.parameters.height, self.parameters.width, 3)
        return (TensorSpec(name="pixels", dtype="uint8", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw soft blobs of light with noise on them."""
        shape = (batch, *input_shape(head, "pixels"))
        return {"pixels": random_pictures(shape, rng)}

    @property
    def json_example(self) -> JsonValue:
        """A small picture as a base64 PNG."""
        return example_files.picture()

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes."""
        return raster.sniff(data)

    def decode(self, data: bytes, media_type: str | None = None) -> Picture:
        """Decode one picture, turned upright; see the base class for errors."""
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        picture = raster.open_picture(data, kind, self.limits)
        orientation = raster.orientation_of(picture)
        size = raster.upright_size(picture.size, orientation)
        if kind == "JPEG":
            wanted = (self.parameters.width, self.parameters.height)
            with undecodable(kind):
                picture.draft(None, raster.upright_size(wanted, orientation))
        raster.load(picture, kind)
        return Picture(raster.upright(to_plain_mode(picture), orientation), size)

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
        if picture.mode == "RGBA":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        pixels = np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))
        return Prepared([{"pixels": pixels}], {"size": native.size})


def _from_array(array: npt.NDArray[np.uint8]) -> Image.Image:
    channels = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim < 2 or channels not in ((), (3,), (4,)):
        raise InvalidInputError(
            f"expected uint8 pixels (height, width, 3), got {array.dtype} {array.shape}",
            field="inputs",
        )
    if array.size == 0:
        raise InvalidInputError(f"a picture of shape {array.shape} is empty", field="inputs")
    return Image.fromarray(array)


def to_plain_mode(picture: Image.Image) -> Image.Image:
    """Convert a picture to mode L, RGB or RGBA.

    16-bit grey is cut to its upper byte, as Pillow does with 16-bit colours; 32-bit grey
    has no natural white, so its own range is stretched.

    Raises:
        InvalidInputError: a colour space that has no plain conversion.
    """
    mode = picture.mode
    if mode in _WITH_ALPHA or picture.has_transparency_data:
        return picture if mode == "RGBA" else picture.convert("RGBA")
    if mode in _PLAIN:
        return picture
    if mode in _CONVERTED:
        return picture.convert("RGB")
    if mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if mode in _WIDE:
        return Image.fromarray(raster.stretch_to_uint8(np.asarray(picture)))
    raise InvalidInputError(f"pictures of colour space {mode} are not supported", field="inputs")


PREPROCESSOR = ImagePreprocessor
