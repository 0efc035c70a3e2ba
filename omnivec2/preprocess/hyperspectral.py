"""Hyperspectral cubes: ENVI, MATLAB, GeoTIFF, NumPy or JSON -> a window around every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self, overload

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue, model_validator

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import (
    OCTET_STREAM,
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    Sample,
    input_shape,
)
from omnivec2.preprocess.formats.cubes.cube import Cube
from omnivec2.preprocess.formats.cubes.cube_readers import READERS, sniff_cube
from omnivec2.preprocess.formats.cubes.holes import holes_of
from omnivec2.preprocess.formats.cubes.sensor_values import sensor_values
from omnivec2.preprocess.formats.cubes.wavelengths import (
    SENSORS,
    Sensor,
    SensorName,
    as_wavelengths,
)
from omnivec2.preprocess.formats.guards.foreign_formats import name_of_format
from omnivec2.preprocess.formats.guards.json_text import parse_json, unwrap_inputs
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions, stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

_ARCHIVES = frozenset({"NPY", "NPZ", "ENVI (header and data in a ZIP)"})
"""Formats that are easily taken for one another: an NPZ file is a ZIP archive of NPY files."""


class HyperspectralParameters(Parameters):
    """The sensor's bands and the size of the window around a pixel."""

    window: int = Field(default=7, ge=1, le=31, description="pixels per side, odd")
    bands: int = Field(default=204, ge=1, le=4096, description="bands of the sensor")
    sensor: SensorName | None = Field(
        default="aviris",
        description="the sensor whose bands and raw values these are, null for an unknown one; it "
        "counts if it has that many bands",
    )

    @model_validator(mode="after")
    def _window_has_a_centre(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError("window must be odd")
        return self


class HyperspectralOptions(SourceOptions):
    """What can be stated of a cube that its file does not say."""

    no_data: float | None = Field(
        default=None, description="the value of pixels and bands without data"
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        description="the factor from the file's values to raw sensor values, such as 10000 for "
        "reflectances of 0 to 1 of a sensor that stores them as integers",
    )
    wavelengths: tuple[float, ...] | None = Field(
        default=None,
        max_length=4096,
        description="the wavelength of every band, in nanometres or micrometres",
    )


class HyperspectralPreprocessor(Preprocessor[HyperspectralParameters, Array]):
    """Makes one sample per pixel, in the sensor's own values (scaling is in the graph).

    The native value is an array (height, width, bands), or (spectra, bands) for spectra
    that form no picture: the window of each of those repeats the spectrum. A pixel without data
    is 0 in all bands.
    """

    modality = Modality.HYPERSPECTRAL
    media_types: ClassVar = {
        "application/zip": "ENVI (header and data in a ZIP)",
        "application/x-zip-compressed": "ENVI (header and data in a ZIP)",
        "application/x-matlab-data": "MATLAB .mat (version 5)",
        "application/matlab-mat": "MATLAB .mat (version 5)",
        "application/x-matlab": "MATLAB .mat (version 5)",
        "application/mat": "MATLAB .mat (version 5)",
        "image/tiff": "GeoTIFF",
        "image/x-tiff": "GeoTIFF",
        "image/tif": "GeoTIFF",
        "image/geotiff": "GeoTIFF",
        "application/x-npy": "NPY",
        "application/npy": "NPY",
        "application/x-numpy": "NPY",
        "application/x-npz": "NPZ",
        "application/npz": "NPZ",
        "application/json": "JSON",
    }
    parameters_type = HyperspectralParameters
    source_options_type = HyperspectralOptions
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
        """Decode a cube; its bands may be any axis unless the file says which."""
        name = self._format(data, None if media_type == OCTET_STREAM else media_type)
        if name == "JSON":
            return self.decode_json(unwrap_inputs(parse_json(data)))
        return self._sensor_values(READERS[name](data, self.limits, self.parameters.bands))

    def _format(self, data: bytes, media_type: str | None) -> str:
        """Return the format of a file: what its bytes are, whatever it is declared as."""
        declared = self.media_types.get(media_type or "")
        found = self.media_types.get(self.sniff(data) or "")
        if found is None and data.startswith(b"ENVI"):
            raise InvalidInputError(
                "this is an ENVI header without its data; send both in one ZIP", field="inputs"
            )
        if found is None and (foreign := name_of_format(data)) is not None:
            raise UndecodableError(
                f"unsupported: the file is {foreign.name}; expected {self.accepts}", field="inputs"
            )
        if found is None and declared is None:
            raise UndecodableError(
                f"expected a hyperspectral cube in one of {self.accepts}", field="inputs"
            )
        if found and declared and found != declared and not {found, declared} <= _ARCHIVES:
            note(
                NoteCode.GUESSED,
                f"declared as {declared}, but the bytes are {found}; they were read as {found}",
            )
        return found or declared or ""

    def decode_json(self, value: JsonValue) -> Array:
        """Decode a spectrum, a list of spectra or a cube as nested lists, or a base64 file."""
        if not isinstance(value, list):
            return super().decode_json(value)
        return self._sensor_values(Cube(_numbers(value)))

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

        Context: ``grid``, (height, width) of the pixels, row by row; and if there are pixels
        without data, ``measured``, a mask of that shape of the others.
        """
        windows = PixelWindows(native, self.parameters.window)
        holes = holes_of(native)
        if not holes.any():
            return Prepared(windows, {"grid": windows.grid})
        return Prepared(windows, {"grid": windows.grid, "measured": ~holes.reshape(windows.grid)})

    def _sensor_values(self, cube: Cube) -> Array:
        """Apply what the file and the caller say of a cube."""
        options = stated(HyperspectralOptions)
        if options.no_data is not None:
            cube = replace(cube, no_data=options.no_data)
        if options.wavelengths is not None:
            cube = replace(cube, wavelengths_nm=as_wavelengths(options.wavelengths))
        return sensor_values(cube, self.parameters.bands, self._sensor, self.limits, options.scale)

    @property
    def _sensor(self) -> Sensor | None:
        """The sensor that the head was trained on, if it is a known one."""
        sensor = SENSORS[self.parameters.sensor] if self.parameters.sensor else None
        return sensor if sensor is not None and sensor.bands == self.parameters.bands else None


def _numbers(value: list[JsonValue]) -> Array:
    """Return nested lists of numbers as an array; null is NaN."""
    try:
        array = np.asarray(value)
        if array.dtype == object and all(
            item is None or (isinstance(item, int | float) and not isinstance(item, bool))
            for item in array.flat
        ):
            array = array.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError("expected nested lists of equal lengths", field="inputs") from error
    if array.dtype.kind not in "iuf":
        raise InvalidInputError("expected nested lists of numbers", field="inputs")
    return array


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
