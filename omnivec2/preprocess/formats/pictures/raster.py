"""Pictures as Pillow reads them: detection of formats, guarded opening, orientation, resizing.

The modalities whose files are pictures share it. Opening reads only the header, so that
a declared size is checked before anything is decoded.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

# Registers the formats used here; Pillow would otherwise import all of its plugins to find one.
from PIL import (  # isort: skip
    AvifImagePlugin as _avif,  # noqa: F401
    BmpImagePlugin as _bmp,  # noqa: F401
    GifImagePlugin as _gif,  # noqa: F401
    JpegImagePlugin as _jpeg,  # noqa: F401
    PngImagePlugin as _png,  # noqa: F401
    TiffImagePlugin as _tiff,  # noqa: F401
    WebPImagePlugin as _webp,  # noqa: F401
)

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, undecodable
from omnivec2.preprocess.formats.pictures.codestream import check_scans
from omnivec2.spec import Limits

ResizeMode = Literal["crop", "stretch"]

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"BM", "image/bmp"),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_MAX_BRANDS_BYTES = 256

# Pillow has a limit of its own; its warning is raised only where warnings are errors.
_BOMB_ERRORS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_ORIENTATION_TAG = 0x0112
# Exif 2.32, 4.6.4.A: how the stored rows and columns are transposed to be seen upright.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# ITU-R BT.601 in 16-bit fractions, as Pillow has them.
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint64)
_TABLE_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
_SWAPPED_SIDES = frozenset({5, 6, 7, 8})
# After the sides are swapped, where they are.
_ROWS_REVERSED = frozenset({3, 4, 7, 8})
_COLUMNS_REVERSED = frozenset({2, 3, 6, 7})


def sniff(data: bytes) -> str | None:
    """Detect the content type of a picture by its first bytes, or return None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return _sniff_brands(data)
    return next((kind for magic, kind in _SIGNATURES if data.startswith(magic)), None)


def _sniff_brands(data: bytes) -> str | None:
    """Detect HEIC and AVIF by the brands of the file, as both may be of the general kind mif1."""
    end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    brands = {data[at : at + 4] for at in (8, *range(16, end, 4))}
    if not brands.isdisjoint(_AVIF_BRANDS):
        return "image/avif"
    return None if brands.isdisjoint(_HEIC_BRANDS) else "image/heic"


def open_picture(data: bytes, kind: str, limits: Limits) -> Image.Image:
    """Read a picture's header; nothing is decoded yet.

    Args:
        data: The file.
        kind: The name of its format, e.g. ``"PNG"``.
        limits: The head's limits; the declared size is compared with ``pixels``.

    Raises:
        UndecodableError: the header is damaged.
        TooLargeError: the declared size is over the limit.
    """
    with undecodable(kind):
        try:
            picture = Image.open(io.BytesIO(data), formats=(kind.upper(),))
        except _BOMB_ERRORS as error:
            limit = limits.pixels or 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise TooLargeError(
                f"the {kind} declares more pixels than the limit (pixels) of {limit:,}",
                field="inputs",
            ) from error
    check_pixels(*picture.size, limits, kind)
    if "progressive" in picture.info:
        check_scans(data, picture.width * picture.height)
    return picture


def load(picture: Image.Image, kind: str) -> None:
    """Decode an opened picture.

    Raises:
        UndecodableError: the file is damaged or truncated.
    """
    with undecodable(kind):
        try:
            picture.load()
        except Image.DecompressionBombError as error:
            raise UndecodableError(f"the {kind} disagrees with its header") from error


def orientation_of(picture: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 where there is none or it is unreadable.

    Raises:
        UndecodableError: the picture is a damaged PNG, which may have it behind its pixels.
    """
    if picture.format == "TIFF":  # the one format that Pillow turns upright by itself
        return 1
    if picture.format == "PNG":  # else Pillow would load it where errors count as no orientation
        load(picture, "PNG")
    try:
        with undecodable("EXIF"):
            value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except UndecodableError:
        return 1
    return value if value in _TRANSPOSES else 1


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as its EXIF orientation demands."""
    turn = _TRANSPOSES.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def upright_array(values: Array, orientation: int) -> Array:
    """Turn an array (height, width, ...) as an EXIF orientation demands."""
    if orientation in _SWAPPED_SIDES:
        values = values.swapaxes(0, 1)
    if orientation in _ROWS_REVERSED:
        values = values[::-1]
    if orientation in _COLUMNS_REVERSED:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the (width, height) of a picture once it is turned upright."""
    return (size[1], size[0]) if orientation in _SWAPPED_SIDES else size


def scale_to_uint8(values: Array, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale ``low``..``high`` to 0..255, clipping values outside; NaN becomes 0.

    An empty range gives zeros.
    """
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint8)
    if values.dtype in _TABLE_DTYPES and values.size > np.iinfo(values.dtype).max:
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)
        return _scale(every, low, high)[values]  # faster and smaller than floats per pixel
    return _scale(values, low, high)


def _scale(values: Array, low: float, high: float) -> npt.NDArray[np.uint8]:
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)
    scaled *= np.float32(255.0 / (high - low))
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def stretch_to_uint8(values: Array) -> npt.NDArray[np.uint8]:
    """Stretch an array's own range of finite values to 0..255.

    Raises:
        InvalidInputError: no value is finite.
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        raise InvalidInputError("the picture holds no finite value", field="inputs")
    return scale_to_uint8(values, float(finite.min()), float(finite.max()))


def resize(picture: Image.Image, size: tuple[int, int], how: ResizeMode) -> Image.Image:
    """Resize to ``size`` (width, height), anti-aliased.

    ``crop`` keeps the proportions and the middle; ``stretch`` keeps everything.
    """
    box: tuple[float, float, float, float] | None = None
    if how == "crop":
        scale = min(picture.width / size[0], picture.height / size[1])
        left = (picture.width - size[0] * scale) / 2
        top = (picture.height - size[1] * scale) / 2
        box = (left, top, picture.width - left, picture.height - top)
    if picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def luma(samples: Array) -> Array:
    """Return the grey values (height, width) of integers (height, width[, 3]), of their type."""
    if samples.ndim == 2:
        return samples
    weighed = samples.astype(np.uint64) @ _LUMA
    return ((weighed + 0x8000) >> 16).astype(samples.dtype)


def read_grey(picture: Image.Image, kind: str) -> Array:
    """Decode an opened picture to (height, width): 16-bit grey as stored, else 8-bit grey.

    The EXIF orientation is applied.

    Raises:
        UndecodableError: the file is damaged, truncated, or of a colour space without grey.
    """
    orientation = orientation_of(picture)
    load(picture, kind)
    with undecodable(kind):
        wide = picture.mode.startswith("I") or picture.mode == "F"
        return np.asarray(upright(picture if wide else picture.convert("L"), orientation))
