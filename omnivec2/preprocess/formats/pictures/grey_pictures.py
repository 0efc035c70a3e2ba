"""PNG and JPEG as grey values, of 16 bits where the file has more than 8."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.jpeg_repair import completed, read_deep_jpeg
from omnivec2.preprocess.formats.pictures.png_chunks import PngFile, read_chunks
from omnivec2.spec import Limits

DEEP_BITS = 16
GREY = 0
"""The colour type of a grey PNG."""

_BYTES_PER_PIXEL = {2: 6, 4: 4, 6: 8}  # of 16-bit samples, by a PNG's colour type
_ALPHA = 4  # the bit of a PNG's colour type


def read_grey_picture(data: bytes, kind: str, limits: Limits) -> Array:
    """Decode a picture to upright grey (height, width), of 16 bits if the file has more than 8.

    Args:
        data: The file.
        kind: The name of its format: ``"PNG"``, ``"JPEG"`` or another one that Pillow reads.
        limits: The head's limits.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the file is whole, but of a kind that is not supported.
    """
    if kind == "JPEG":
        return _read_grey_jpeg(data, limits)
    if kind != "PNG":
        return raster.read_grey(raster.open_picture(data, kind, limits), kind)
    return read_grey_png(*open_png(data, limits), limits)


def open_png(data: bytes, limits: Limits) -> tuple[PngFile, Image.Image]:
    """Read the chunks of a PNG beside its pixels, and its header.

    Raises:
        UndecodableError: the header is damaged.
        TooLargeError: the declared size is over its limit.
    """
    file = read_chunks(data)
    return file, raster.open_picture(file.data, "PNG", limits)


def read_grey_png(file: PngFile, picture: Image.Image, limits: Limits) -> Array:
    """Decode a PNG that :func:`open_png` opened, like :func:`read_grey_picture`."""
    if file.bit_depth != DEEP_BITS or file.colour_type == GREY:
        return raster.upright_array(raster.read_grey(picture, "PNG"), file.orientation)
    colours, _ = deep_samples(file, picture, limits)
    return raster.upright_array(raster.luma(colours), file.orientation)


def _read_grey_jpeg(data: bytes, limits: Limits) -> Array:
    try:
        return raster.read_grey(raster.open_picture(data, "JPEG", limits), "JPEG")
    except UndecodableError:
        if (deep := read_deep_jpeg(data, limits)) is not None:
            return raster.luma(deep[0])
        if (whole := completed(data)) is None:
            raise
    return _read_grey_jpeg(whole, limits)


def deep_samples(
    file: PngFile, picture: Image.Image, limits: Limits
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None]:
    """Decode a 16-bit PNG to grey or colours, without a cut to 8 bits, and its transparency."""
    if file.colour_type == GREY:
        raster.load(picture, "PNG")
        samples = np.asarray(picture).astype(np.uint16)
    else:
        import imagecodecs  # not on loading: most pictures have 8 bits

        declared = picture.width * picture.height * _BYTES_PER_PIXEL[file.colour_type]
        if declared > limits.decoded_bytes:
            raise TooLargeError(
                f"the PNG declares {declared:,} bytes of pixels; the limit (decoded_bytes) is "
                f"{limits.decoded_bytes:,}",
                field="inputs",
            )

        with undecodable("PNG"):
            samples = imagecodecs.png_decode(file.data)
            if samples.dtype != np.uint16 or (samples.shape[1], samples.shape[0]) != picture.size:
                raise UndecodableError("the PNG disagrees with its header", field="inputs")
    if file.colour_type & _ALPHA:
        colours, alpha = samples[..., :-1], samples[..., -1]
        return (colours[..., 0] if colours.shape[-1] == 1 else colours), alpha
    colours = samples if file.colour_type == GREY else samples[..., :3]
    if file.transparent is None:
        return colours, None
    see_through = colours == np.array(file.transparent, np.uint16)
    if see_through.ndim == 3:
        see_through = see_through.all(axis=-1)
    return colours, np.where(see_through, 0, 0xFFFF).astype(np.uint16)
