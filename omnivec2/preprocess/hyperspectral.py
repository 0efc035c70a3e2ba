"""Hyperspectral cubes: ENVI, MATLAB, GeoTIFF, NPY or JSON -> a window around every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self, overload

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue, model_validator

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import (
    OCTET_STREAM,
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    Sample,
    input_shape,
)
from omnivec2.preprocess.formats.guards.json_text import parse_json, unwrap_inputs
from omnivec2.preprocess.formats.science.cube_readers import READERS, sniff_cube
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec


class HyperspectralParameters(Parameters):
    """The sensor's bands and the size of the window around a pixel."""

    window: int = Field(default=7, ge=1, le=31, description="pixels per side, odd")
    bands: int = Field(default=204, ge=1, le=4096, description="bands of the sensor")

    @model_validator(mode="after")
    def _window_has_a_centre(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError("window must be odd")
        return self


class HyperspectralPreprocessor(Preprocessor[HyperspectralParameters, Array]):
    """Makes one sample per pixel, in the sensor's own values (scaling is in the graph).

    The native value is an array (height, width, bands), or (spectra, bands) for spectra
    that form no picture: the window of each of those repeats the spectrum.
    """

    modality = Modality.HYPERSPECTRAL
    media_types: ClassVar = {
        "application/zip": "ENVI (header and data in a ZIP)",
        "application/x-zip-compressed": "ENVI (header and data in a ZIP)",
        "application/x-matlab-data": "MATLAB .mat (version 5)",
        "application/matlab-mat": "MATLAB .mat (version 5)",
        "image/tiff": "GeoTIFF",
        "image/geotiff": "GeoTIFF",
        "application/x-npy": "NPY",
        "application/json": "JSON",
    }
    parameters_type = HyperspectralParameters
    default_limits = Limits(bytes=64 * 2**20, decoded_bytes=128 * 2**20, pixels=65_536, bands=4_096)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The window around a pixel."""
        side = self.parameters.window
        return (
            TensorSpec(
                name="window",
                dtype="float32",
                shape=(side, side, self.parameters.bands),
                description="sensor values around a pixel, mirrored at the picture's edges",
            ),
        )

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw a spectrum per window, its pixels within a tenth of it."""
        shape = (batch, *input_shape(head, "window"))
        level = rng.uniform(200, 4000, (batch, 1, 1, shape[-1]))
        return {"window": level * rng.uniform(0.9, 1.1, shape)}

    @property
    def json_example(self) -> JsonValue:
        """The spectrum of one pixel."""
        return [1000 + 10 * band for band in range(self.parameters.bands)]

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic numbers."""
        return sniff_cube(data)

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        """Decode a cube; its bands may be the last axis or the first."""
        if media_type in (None, OCTET_STREAM):
            media_type = self.sniff(data)
        name = self.media_types.get(media_type or "")
        if name is None:
            raise UndecodableError(f"expected a hyperspectral cube in one of {self.accepts}")
        if name == "JSON":
            return self.decode_json(unwrap_inputs(parse_json(data)))
        return self._check_cube(READERS[name](data, self.limits, self.parameters.bands))

    def decode_json(self, value: JsonValue) -> Array:
        """Decode a spectrum, a list of spectra or a cube as nested lists, or a base64 file."""
        if not isinstance(value, list):
            return super().decode_json(value)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise InvalidInputError(
                "expected nested lists of equal lengths", field="inputs"
            ) from error
        if array.dtype.kind not in "iuf":
            raise InvalidInputError("expected nested lists of numbers", field="inputs")
        return self._check_cube(array)

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of inputs; up to three levels of lists of numbers are a single one."""
        if not isinstance(value, list):
            return None
        item: JsonValue = value
        depth = 0
        while isinstance(item, list) and item:
            item, depth = item[0], depth + 1
        is_numbers = isinstance(item, int | float | list)
        return None if is_numbers and depth <= 3 else list(value)

    def prepare(self, native: Array) -> Prepared:
        """Lay a window around every pixel; each is made on access.

        Context: ``grid``, (height, width) of the pixels, row by row.
        """
        windows = PixelWindows(native, self.parameters.window)
        return Prepared(windows, {"grid": windows.grid})

    def _check_cube(self, array: Array) -> Array:
        """Check a cube and move its bands to the last axis."""
        bands = self.parameters.bands
        if array.ndim == 1:
            array = array[None]
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise InvalidInputError(
                f"expected (height, width, {bands}) or (spectra, {bands}), got {array.shape}"
            )
        if array.shape[-1] != bands:
            if array.shape[0] != bands:
                raise InvalidInputError(
                    f"expected {bands} bands, got an array of shape {array.shape}"
                )
            array = np.moveaxis(array, 0, -1)
        pixels = array.size // bands
        if self.limits.pixels is not None and pixels > self.limits.pixels:
            raise TooLargeError(f"{pixels:,} pixels, the limit is {self.limits.pixels:,}")
        with np.errstate(over="ignore", invalid="ignore"):
            exact = array.astype(np.float32) if array.dtype.itemsize > 4 else array
        if exact.dtype.kind == "f" and not np.isfinite(exact).all():
            raise InvalidInputError("the cube has values that are not finite numbers")
        return exact


class PixelWindows(Sequence[Sample]):
    """The windows around the pixels of a cube, row by row; each is made on access.

    Args:
        cube: An array (height, width, bands), or (spectra, bands) for pixels without
            neighbours.
        side: The number of pixels per side, odd. Beyond an edge the picture is mirrored,
            the edge's own pixels included (as SpectralFormer does; Hong et al., 2022).
    """

    def __init__(self, cube: Array, side: int) -> None:
        self._picture = cube.ndim == 3
        self._cube = cube if self._picture else cube[:, None]
        self._side = side
        height, width, self._bands = map(int, self._cube.shape)
        self.grid: tuple[int, int] = (height, width)
        self._rows = _mirrored_indices(height, side // 2)
        self._columns = _mirrored_indices(width, side // 2)

    def __len__(self) -> int:
        return self.grid[0] * self.grid[1]

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[item] for item in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row, column = divmod(index % len(self), self.grid[1])
        side = self._side
        if self._picture:
            rows = self._rows[row : row + side, None]
            window = self._cube[rows, self._columns[column : column + side]]
        else:
            window = np.broadcast_to(self._cube[row, 0], (side, side, self._bands))
        return {"window": np.ascontiguousarray(window, dtype=np.float32)}


def _mirrored_indices(length: int, margin: int) -> npt.NDArray[np.intp]:
    """Return the indices of an axis, with ``margin`` mirrored ones added on both sides."""
    return np.pad(np.arange(length), margin, mode="symmetric")


PREPROCESSOR = HyperspectralPreprocessor
