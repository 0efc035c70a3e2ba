"""Thermal pictures -> one channel, stretched between two percentiles.

A camera's values depend on its gain and on the temperatures of the scene, so only the
differences within a picture are kept.
"""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array, Prepared
from omnivec2.preprocess.formats.guards.decoding_guard import format_of
from omnivec2.preprocess.formats.measurements.thermal_tiff import (
    apply_no_data,
    hide,
    note_false_colours,
    read_thermal_tiff,
)
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.flir import read_raw_thermal
from omnivec2.preprocess.formats.pictures.grey_pictures import (
    open_png,
    read_grey_picture,
    read_grey_png,
)
from omnivec2.preprocess.formats.pictures.single_picture import (
    PictureParameters,
    PicturePreprocessor,
)
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions, stated
from omnivec2.spec import Limits, Modality

_DRAFT_SIZE = (64, 64)
_PLAIN_MODES = frozenset({"1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_FEWEST_LEVELS = 8
"""Integers that span fewer levels show the sensor's noise."""


class InfraredParameters(PictureParameters):
    """Frozen parameters of the infrared preprocessor."""

    height: int = 64
    width: int = 64
    low_percentile: float = Field(default=1.0, ge=0, lt=50)
    high_percentile: float = Field(default=99.0, gt=50, le=100)


class InfraredOptions(SourceOptions):
    """What can be stated of a thermal picture that its file does not say."""

    polarity: Literal["white_hot", "black_hot"] = Field(
        default="white_hot", description="whether high values are warm or cold"
    )
    no_data: float | None = Field(
        default=None, description="the value of pixels without data, such as -9999"
    )


class InfraredPreprocessor(PicturePreprocessor[InfraredParameters, Array]):
    """16-bit TIFF or PNG, JPEG or radiometric JPEG -> stretched grey pixels."""

    modality = Modality.INFRARED
    media_types: ClassVar[dict[str, str]] = {
        "image/tiff": "TIFF",
        "image/x-tiff": "TIFF",
        "image/tif": "TIFF",
        "image/geotiff": "TIFF",
        "image/png": "PNG",
        "image/x-png": "PNG",
        "image/jpeg": "JPEG",
        "image/jpg": "JPEG",
        "image/pjpeg": "JPEG",
    }
    parameters_type = InfraredParameters
    source_options_type = InfraredOptions
    default_limits = Limits(bytes=32 * 2**20, pixels=16_000_000)

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        """Decode to sensor values (height, width) of the file's own type.

        A radiometric JPEG gives its raw thermal picture, any other JPEG its grey values. Pixels
        without data are NaN; high values are warm.
        """
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        if kind == "TIFF":
            values = read_thermal_tiff(data, self.limits, stated(InfraredOptions).no_data)
        else:
            values = self._read_picture(data, kind)
        return _colder_lower(values, stated(InfraredOptions).polarity)

    def _read_picture(self, data: bytes, kind: str) -> Array:
        no_data = stated(InfraredOptions).no_data
        if kind == "PNG":
            file, picture = open_png(data, self.limits)
            grey = read_grey_png(file, picture, self.limits)
            transparent = _look_at_colours(picture, file.orientation)
            return hide(apply_no_data(grey, no_data), transparent)
        try:
            picture = raster.open_picture(data, kind, self.limits)
        except UndecodableError:  # of more than 8 bits, or damaged, which shows here
            return apply_no_data(read_grey_picture(data, kind, self.limits), no_data)
        thermal = read_raw_thermal(picture, self.limits)
        if thermal is not None:
            return _turned_alike(thermal, picture)
        grey = read_grey_picture(data, kind, self.limits)
        with suppress(UndecodableError):  # one that is cut off has grey values, and is noted
            picture.draft("RGB", _DRAFT_SIZE)
            raster.load(picture, kind)
            _look_at_colours(picture, orientation=1)
        return apply_no_data(grey, no_data)

    def prepare(self, native: Array) -> Prepared:
        """Stretch between the percentiles, then resize.

        Args:
            native: An array of sensor values (height, width) of any real type; NaN becomes
                the coldest.

        Raises:
            InvalidInputError: the array is not a picture of finite numbers.
        """
        if native.ndim != 2 or native.size == 0:
            raise InvalidInputError(
                f"expected a grey picture (height, width), got shape {native.shape}",
                field="inputs",
            )
        p = self.parameters
        picture = Image.fromarray(self._stretch(native))
        pixels = np.asarray(raster.resize(picture, (p.width, p.height), "stretch"))
        size = (native.shape[1], native.shape[0])
        return Prepared([{"pixels": pixels[:, :, None]}], {"size": size})

    def _stretch(self, native: Array) -> npt.NDArray[np.uint8]:
        finite = native[np.isfinite(native)] if native.dtype.kind == "f" else native
        if finite.size == 0:
            raise InvalidInputError("the picture holds no finite value", field="inputs")
        percentiles = (self.parameters.low_percentile, self.parameters.high_percentile)
        low, high = np.percentile(finite, percentiles)
        least, most = float(finite.min()), float(finite.max())
        if most == least or (native.dtype.kind != "f" and most - least < _FEWEST_LEVELS):
            note(
                NoteCode.EMPTY,
                f"the picture is even: its values lie between {least:g} and {most:g}, without "
                "contrast to show anything, as with a covered lens",
            )
        if high <= low:  # whatever is to be seen covers less than a hundredth
            low, high = least, most
        return raster.scale_to_uint8(native, float(low), float(high))


def _colder_lower(values: Array, polarity: str) -> Array:
    """Return values of which high ones are warm."""
    if polarity == "white_hot":
        return values
    if values.dtype.kind == "f":
        return -values
    return np.invert(values)  # -1 - x of signed, the largest - x of unsigned integers


def _turned_alike(thermal: Array, picture: Image.Image) -> Array:
    """Turn the raw thermal picture inside a JPEG as the JPEG's orientation demands.

    The JPEG is a rendering of it, so that both are stored the same way round. Where they are not,
    the camera has turned its rendering only.
    """
    wide = thermal.shape[1] >= thermal.shape[0]
    if wide != (picture.width >= picture.height):
        return thermal
    return raster.upright_array(thermal, raster.orientation_of(picture))


def _look_at_colours(picture: Image.Image, orientation: int) -> npt.NDArray[np.bool_] | None:
    """Say if a decoded picture has false colours; return where it is transparent, if anywhere."""
    if picture.mode in _PLAIN_MODES and not picture.has_transparency_data:
        return None
    coloured = np.asarray(picture.convert("RGBA"))
    note_false_colours(coloured[..., :3], 255)
    if not picture.has_transparency_data:
        return None
    return np.asarray(raster.upright_array(coloured[..., 3] == 0, orientation))


PREPROCESSOR = InfraredPreprocessor
