"""Wavelengths of bands: their units, the bands of known sensors, and resampling between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.notes import NoteCode, note

Wavelengths = npt.NDArray[np.float64]

SensorName = Literal["aviris"]

_LARGEST_MICROMETRES = 100.0
"""Spectral cameras see 0.3 to 15 micrometres, which is 300 to 15,000 nanometres."""

_LARGEST_METRES = 1e-3

_END_MARGIN_NM = 60.0
"""How far the ends of two ranges may differ: flights of AVIRIS differ by 10 to 35 nm."""

_OTHER_UNITS = frozenset({"index", "ghz", "mhz", "thz", "ev"})
_WAVENUMBERS = ("wavenumber", "cm-1", "1/cm", "cm^-1")


@dataclass(frozen=True)
class Sensor:
    """The bands that a head was trained on.

    Attributes:
        name: The name for messages.
        wavelengths_nm: The nominal wavelengths of its bands in nanometres.
        usual: The range in which the median of a cube of its raw values lies.
    """

    name: str
    wavelengths_nm: Wavelengths
    usual: tuple[float, float]

    @property
    def bands(self) -> int:
        """The number of bands."""
        return len(self.wavelengths_nm)


def _aviris() -> Wavelengths:
    """Return the bands of AVIRIS without the 20 in which water takes all light.

    Four spectrometers of 32, 64, 64 and 64 bands (Green et al., 1998); flights differ by some
    10 nm. The customary list of bands taken out is 108-112, 154-167 and 224, counted from 1.
    """
    ranges = ((366.0, 667.0, 32), (655.0, 1253.0, 64), (1263.0, 1872.0, 64), (1867.0, 2496.0, 64))
    every = np.concatenate([np.linspace(*item) for item in ranges])
    taken_out = [*range(107, 112), *range(153, 167), 223]
    return np.delete(every, taken_out)


SENSORS: dict[SensorName, Sensor] = {
    "aviris": Sensor("AVIRIS", _aviris(), (100.0, 12_000.0)),
}


def to_nanometres(values: Wavelengths, unit: str = "") -> Wavelengths | None:
    """Convert wavelengths to nanometres; None, and a note, if they are no wavelengths.

    Their size tells micrometres from nanometres more reliably than a header's unit, which may
    be missing, in another language or wrong; only wavenumbers need to be named.

    Args:
        values: The wavelengths.
        unit: Their unit as it is written.
    """
    if any(word in unit.lower() for word in _WAVENUMBERS):
        with np.errstate(divide="ignore"):
            return np.where(values > 0, 1e7 / values, np.nan)
    counted = len(values) > 1 and bool((np.diff(values) == 1).all()) and values[0] in (0, 1)
    if counted or unit.strip().lower() in _OTHER_UNITS:
        note(
            NoteCode.IGNORED,
            f"the wavelengths are numbers of bands or of unit {unit or 'none'} and are not used; "
            "state them in nanometres",
        )
        return None
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max(initial=0.0))
    if 0 < largest < _LARGEST_METRES:
        return values * 1e9
    return values * 1e3 if largest < _LARGEST_MICROMETRES else values


def match_bands(values: Array, wavelengths_nm: Wavelengths, sensor: Sensor) -> Array:
    """Bring a cube to the bands of the sensor that a head was trained on.

    Args:
        values: An array (..., bands).
        wavelengths_nm: The wavelength of every band.
        sensor: The head's sensor.

    Returns:
        The array itself if the ranges agree, otherwise float32 values interpolated between
        neighbouring bands.

    Raises:
        InvalidInputError: The bands do not cover the sensor's range.
    """
    order = np.argsort(wavelengths_nm)
    own, wanted = wavelengths_nm[order], sensor.wavelengths_nm
    if not np.isfinite(own).all():
        note(NoteCode.IGNORED, "the wavelengths are not finite numbers and are not used")
        return values
    low, high = float(own[0]), float(own[-1])
    least, most = float(wanted.min()), float(wanted.max())
    same_ends = abs(low - least) <= _END_MARGIN_NM and abs(high - most) <= _END_MARGIN_NM
    if len(own) == sensor.bands and same_ends:
        if wavelengths_nm[0] < wavelengths_nm[-1]:
            return values  # spectrometers overlap a little, so that bands need not ascend
        note(NoteCode.RESAMPLED, "the bands were put in the order of ascending wavelengths")
        return values[..., order]
    if low > least + _END_MARGIN_NM or high < most - _END_MARGIN_NM:
        raise InvalidInputError(
            f"the wavelengths of the {len(own)} bands go from {low:.0f} to {high:.0f} nm; the head "
            f"was trained on {sensor.bands} bands of {sensor.name} from {least:.0f} to "
            f"{most:.0f} nm and cannot answer for another range",
            field="inputs",
        )
    note(
        NoteCode.RESAMPLED,
        f"{len(own)} bands with wavelengths from {low:.0f} to {high:.0f} nm were interpolated to "
        f"the {sensor.bands} bands of {sensor.name} that the head was trained on",
    )
    return _interpolate(values, order, own, np.clip(wanted, low, high))


def _interpolate(
    values: Array, order: npt.NDArray[np.intp], own: Wavelengths, wanted: Wavelengths
) -> Array:
    """Interpolate linearly along the last axis, whose places ``own`` ascend in ``order``."""
    if len(own) == 1:
        return np.repeat(values, len(wanted), axis=-1)
    right = np.clip(np.searchsorted(own, wanted), 1, len(own) - 1)
    span = np.maximum(own[right] - own[right - 1], 1e-9)
    weight = np.clip((wanted - own[right - 1]) / span, 0.0, 1.0).astype(np.float32)
    left, right = order[right - 1], order[right]
    return values[..., left].astype(np.float32) * (1 - weight) + values[..., right] * weight


def as_wavelengths(values: Sequence[float] | Array | None) -> Wavelengths | None:
    """Return wavelengths in nanometres of a list in nanometres or micrometres; None of nothing."""
    if values is None or len(values) == 0:
        return None
    return to_nanometres(np.asarray(values, dtype=np.float64).ravel())
