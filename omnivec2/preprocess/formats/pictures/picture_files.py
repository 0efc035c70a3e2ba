"""Picture files as a viewer shows them: 8 bits per sample, of the colours that the file states.

Every format has one reader here or in a module of its own. What the readers cannot show as the
file means it is refused with the reason, or noted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.colour_profile import lab_to_srgb
from omnivec2.preprocess.formats.pictures.jpeg_repair import completed, read_deep_jpeg
from omnivec2.preprocess.formats.pictures.png_chunks import PngFile, read_chunks
from omnivec2.preprocess.formats.pictures.sample_depth import to_uint8, upper_bytes
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_PLAIN = frozenset({"L", "RGB", "RGBA"})
_WITH_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_CONVERTED = frozenset({"1", "P", "CMYK", "YCbCr", "HSV", "RGBX"})
_WIDE = frozenset({"I", "F"})
_DEEP_BITS = 16
_GREY = 0
_BYTES_PER_PIXEL = {2: 6, 4: 4, 6: 8}  # of 16-bit samples, by a PNG's colour type
_ALPHA = 4  # the bit of a PNG's colour type


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


def read_picture(
    data: bytes, kind: str, limits: Limits, wanted: tuple[int, int] | None = None
) -> StoredPicture:
    """Decode a picture.

    Args:
        data: The file.
        kind: The name of its format, e.g. ``"PNG"``.
        limits: The head's limits; declared sizes are compared with ``pixels`` before decoding.
        wanted: The (width, height), upright, that is enough; a JPEG may be decoded at a
            fraction of its size then. None for the whole.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the file is whole, but of a kind that is not supported.
    """
    if kind == "JPEG":
        return _read_jpeg(data, limits, wanted)
    if kind == "PNG":
        return _read_png(data, limits)
    if kind == "TIFF":
        # Not on loading, here and below: fewer services get such files.
        from omnivec2.preprocess.formats.pictures.colour_tiff import read_colour_tiff

        return read_colour_tiff(data, limits)
    if kind == "HEIC":
        from omnivec2.preprocess.formats.pictures.heif.reader import read_heif

        return read_heif(data, limits)
    picture = raster.open_picture(data, kind, limits)
    orientation = raster.orientation_of(picture)
    with undecodable(kind):
        if getattr(picture, "is_animated", False):
            _note_frames(kind)
    return _decoded(picture, kind, orientation)


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
    if file.bit_depth != _DEEP_BITS or file.colour_type == _GREY:
        return raster.upright_array(raster.read_grey(picture, "PNG"), file.orientation)
    colours, _ = _deep_samples(file, picture, limits)
    return raster.upright_array(raster.luma(colours), file.orientation)


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


def _decoded(picture: Image.Image, kind: str, orientation: int) -> StoredPicture:
    raster.load(picture, kind)
    profile = picture.info.get("icc_profile")
    pixels = to_plain_mode(picture, profile)
    if kind == "BMP" and pixels.mode == "RGBA" and pixels.getchannel("A").getextrema() == (0, 0):
        note(NoteCode.REPAIRED, "the alpha channel of the BMP is empty and was not used")
        pixels = pixels.convert("RGB")
    return StoredPicture(pixels, picture.size, orientation, profile)


def _note_frames(kind: str) -> None:
    note(NoteCode.IGNORED, f"the {kind} has several frames; only the first was read")


def _read_jpeg(data: bytes, limits: Limits, wanted: tuple[int, int] | None) -> StoredPicture:
    try:
        picture = raster.open_picture(data, "JPEG", limits)
    except UndecodableError:
        if (deep := read_deep_jpeg(data, limits)) is None:
            raise
        pixels = Image.fromarray(to_uint8(*deep))
        return StoredPicture(pixels, pixels.size)
    orientation = raster.orientation_of(picture)
    size = picture.size
    if wanted is not None:
        with undecodable("JPEG"):
            picture.draft(None, raster.upright_size(wanted, orientation))
    try:
        raster.load(picture, "JPEG")
    except UndecodableError:
        if (whole := completed(data)) is None:
            raise
        return _read_jpeg(whole, limits, wanted)
    profile = picture.info.get("icc_profile")
    return StoredPicture(to_plain_mode(picture, profile), size, orientation, profile)


def _read_grey_jpeg(data: bytes, limits: Limits) -> Array:
    try:
        return raster.read_grey(raster.open_picture(data, "JPEG", limits), "JPEG")
    except UndecodableError:
        if (deep := read_deep_jpeg(data, limits)) is not None:
            return raster.luma(deep[0])
        if (whole := completed(data)) is None:
            raise
    return _read_grey_jpeg(whole, limits)


def _read_png(data: bytes, limits: Limits) -> StoredPicture:
    file, picture = open_png(data, limits)
    if file.frames > 1:
        _note_frames("PNG")
    if file.bit_depth != _DEEP_BITS:
        stored = _decoded(picture, "PNG", file.orientation)
        return StoredPicture(stored.pixels, stored.size, file.orientation, file.profile)
    colours, alpha = _deep_samples(file, picture, limits)
    bits = file.significant_bits
    white = (1 << bits) - 1 if bits and bits < _DEEP_BITS else None
    planes = to_uint8(colours, white)
    if alpha is not None:
        planes = planes if planes.ndim == 3 else np.repeat(planes[..., None], 3, axis=-1)
        planes = np.concatenate([planes, _alpha_to_uint8(alpha, colours)[..., None]], axis=-1)
    return StoredPicture(Image.fromarray(planes), picture.size, file.orientation, file.profile)


def _deep_samples(
    file: PngFile, picture: Image.Image, limits: Limits
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None]:
    """Decode a 16-bit PNG to grey or colours, without a cut to 8 bits, and its transparency."""
    if file.colour_type == _GREY:
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
    colours = samples if file.colour_type == _GREY else samples[..., :3]
    if file.transparent is None:
        return colours, None
    see_through = colours == np.array(file.transparent, np.uint16)
    if see_through.ndim == 3:
        see_through = see_through.all(axis=-1)
    return colours, np.where(see_through, 0, 0xFFFF).astype(np.uint16)


def _alpha_to_uint8(alpha: npt.NDArray[np.uint16], colours: Array) -> npt.NDArray[np.uint8]:
    """Scale alpha, which may be as low as the colours are in files of 12 bits, say."""
    peak = int(alpha.max())
    if peak and peak.bit_length() <= max(int(colours.max()).bit_length(), 8) < _DEEP_BITS:
        return raster.scale_to_uint8(alpha, 0, peak)
    return upper_bytes(alpha)
