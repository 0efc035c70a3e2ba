"""Picture files as a viewer shows them: 8 bits per sample, of the colours that the file states.

Every format has one reader here or in a module of its own. What the readers cannot show as the
file means it is refused with the reason, or noted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.grey_pictures import (
    DEEP_BITS,
    deep_samples,
    open_png,
)
from omnivec2.preprocess.formats.pictures.jpeg_repair import completed, read_deep_jpeg
from omnivec2.preprocess.formats.pictures.plain_pictures import StoredPicture, to_plain_mode
from omnivec2.preprocess.formats.pictures.sample_depth import to_uint8, upper_bytes
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits


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
        from omnivec2.preprocess.formats.pictures.tiff_pages.colours import read_colour_tiff

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


def _read_png(data: bytes, limits: Limits) -> StoredPicture:
    file, picture = open_png(data, limits)
    if file.frames > 1:
        _note_frames("PNG")
    if file.bit_depth != DEEP_BITS:
        stored = _decoded(picture, "PNG", file.orientation)
        return StoredPicture(stored.pixels, stored.size, file.orientation, file.profile)
    colours, alpha = deep_samples(file, picture, limits)
    bits = file.significant_bits
    white = (1 << bits) - 1 if bits and bits < DEEP_BITS else None
    planes = to_uint8(colours, white)
    if alpha is not None:
        planes = planes if planes.ndim == 3 else np.repeat(planes[..., None], 3, axis=-1)
        planes = np.concatenate([planes, _alpha_to_uint8(alpha, colours)[..., None]], axis=-1)
    return StoredPicture(Image.fromarray(planes), picture.size, file.orientation, file.profile)


def _alpha_to_uint8(alpha: npt.NDArray[np.uint16], colours: Array) -> npt.NDArray[np.uint8]:
    """Scale alpha, which may be as low as the colours are in files of 12 bits, say."""
    peak = int(alpha.max())
    if peak and peak.bit_length() <= max(int(colours.max()).bit_length(), 8) < DEEP_BITS:
        return raster.scale_to_uint8(alpha, 0, peak)
    return upper_bytes(alpha)
