"""Thermal pictures -> one channel, stretched between two percentiles.

A camera's values depend on its gain and on the temperatures of the scene, so only the
differences within a picture are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    input_shape,
)
from omnivec2.preprocess.formats import example_files
from omnivec2.preprocess.formats.guards.decoding_guard import format_of
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.flir import read_raw_thermal
from omnivec2.preprocess.formats.pictures.random_pictures import random_pictures
from omnivec2.preprocess.formats.pictures.tiff import read_tiff
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec


class InfraredParameters(Parameters):
    """Frozen parameters of the infrared preprocessor."""

    height: int = 64
    width: int = 64
    low_percentile: float = Field(default=1.0, ge=0, lt=50)
    high_percentile: float = Field(default=99.0, gt=50, le=100)


class InfraredPreprocessor(Preprocessor[InfraredParameters, Array]):
    """16-bit TIFF or PNG, JPEG or radiometric JPEG -> stretched grey pixels."""

    modality = Modality.INFRARED
    media_types: ClassVar[dict[str, str]] = {
        "image/tiff": "TIFF",
        "image/x-tiff": "TIFF",
        "image/png": "PNG",
        "image/x-png": "PNG",
        "image/jpeg": "JPEG",
        "image/jpg": "JPEG",
        "image/pjpeg": "JPEG",
    }
    parameters_type = InfraredParameters
    default_limits = Limits(bytes=32 * 2**20, pixels=16_000_000)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``pixels`` uint8 (height, width, 1)."""
        shape = (self.parameters.height, self.parameters.width, 1)
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

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        """Decode to sensor values (height, width) of the file's own type.

        A radiometric JPEG gives its raw thermal picture, any other JPEG its grey values.
        """
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        if kind == "TIFF":
            page: Array = read_tiff(data, self.limits, first_only=True)[0]
            return page
        picture = raster.open_picture(data, kind, self.limits)
        grey = raster.read_grey(picture, kind)
        thermal = read_raw_thermal(picture, self.limits) if kind == "JPEG" else None
        return grey if thermal is None else thermal

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
        return raster.scale_to_uint8(native, float(low), float(high))


PREPROCESSOR = InfraredPreprocessor
