"""A spectral cube as its file stores it, with everything that the file says of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.base import Array
from omnivec2.spec import Limits


@dataclass(frozen=True)
class Cube:
    """Values and metadata of a file.

    Attributes:
        values: An array of one to three axes, of any real type.
        bands_axis: The axis of the bands, None if the file does not say.
        no_data: The value of pixels and bands without data, None if the file states none.
        wavelengths_nm: The wavelength of every band in nanometres, None if not stated.
        bad_bands: Whether each band is marked as bad, None if not stated.
        reflectance_factor: The value of a reflectance of 1, None if not stated.
        ignored: The names of the statements of the file that are not used.
    """

    values: Array
    bands_axis: int | None = None
    no_data: float | None = None
    wavelengths_nm: npt.NDArray[np.float64] | None = None
    bad_bands: npt.NDArray[np.bool_] | None = None
    reflectance_factor: float | None = None
    ignored: tuple[str, ...] = field(default=())

    def bands_last(self, bands: int) -> Cube:
        """Return the cube with its bands on the last axis.

        Args:
            bands: The number of bands by which the axis is found where the file says nothing.

        Raises:
            InvalidInputError: No axis, or only one of size 0, has that many.
        """
        array = self.values
        while array.ndim > 3 and 1 in array.shape[:-1]:
            array = array.squeeze(array.shape.index(1))
        if array.ndim == 1:
            array = array[None]
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise InvalidInputError(
                f"expected (height, width, {bands}) or (spectra, {bands}), got {array.shape}",
                field="inputs",
            )
        axis = self.bands_axis if self.bands_axis is not None else find_bands(array.shape, bands)
        return replace(self, values=np.moveaxis(array, axis, -1), bands_axis=array.ndim - 1)

    def check_pixels(self, limits: Limits) -> None:
        """Compare the number of pixels of a cube whose bands are last with the limit.

        Raises:
            TooLargeError: There are more.
        """
        check_pixels(self.values.size // self.values.shape[-1], limits)


def find_bands(shape: tuple[int, ...], bands: int) -> int:
    """Return the axis of the bands by their number: the last, the first or the middle one.

    Raises:
        InvalidInputError: No axis has that many.
    """
    order: tuple[int, ...] = (len(shape) - 1, 0, *range(1, len(shape) - 1)) if shape else ()
    axis = next((axis for axis in order if shape[axis] == bands), None)
    if axis is None:
        raise InvalidInputError(
            f"expected {bands} bands, got an array of shape {shape}", field="inputs"
        )
    return axis


def check_pixels(pixels: int, limits: Limits) -> None:
    """Compare a number of pixels with the limit.

    Raises:
        TooLargeError: There are more.
    """
    if limits.pixels is not None and pixels > limits.pixels:
        raise TooLargeError(
            f"{pixels:,} pixels, the limit (pixels) is {limits.pixels:,}", field="inputs"
        )
