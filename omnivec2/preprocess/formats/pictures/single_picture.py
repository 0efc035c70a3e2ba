"""What the pre-processors of single pictures share: pictures, infrared and X-ray pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import JsonValue

from omnivec2.preprocess.base import Array, NativeT, Parameters, Preprocessor, input_shape
from omnivec2.preprocess.formats import example_files
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.random_pictures import random_pictures
from omnivec2.spec import HeadSpec, TensorSpec


class PictureParameters(Parameters):
    """The size of the pictures that the network takes, in pixels."""

    height: int
    width: int


PictureParametersT = TypeVar("PictureParametersT", bound=PictureParameters)


class PicturePreprocessor(Preprocessor[PictureParametersT, NativeT]):
    """One picture -> pixels uint8 of one size.

    Class attributes:
        channels: The channels of a pixel.
    """

    channels: ClassVar[int] = 1

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``pixels`` uint8 (height, width, channels)."""
        shape = (self.parameters.height, self.parameters.width, self.channels)
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
