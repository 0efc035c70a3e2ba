"""Units of depth: those that are stated, those that values betray, and marks of missing depth."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.measurements.missing_values import is_beyond_measuring, is_mark
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions

DepthUnit = Literal["m", "cm", "mm", "um", "in", "ft"]
MILLIMETRES_PER_UNIT: dict[DepthUnit, float] = {
    "m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "in": 25.4, "ft": 304.8,
}  # fmt: skip
_SPELLINGS: dict[str, DepthUnit] = {
    "metre": "m", "meter": "m", "metres": "m", "meters": "m", "centimetre": "cm",
    "centimeter": "cm", "centimetres": "cm", "centimeters": "cm", "millimetre": "mm",
    "millimeter": "mm", "millimetres": "mm", "millimeters": "mm", "micrometre": "um",
    "micrometer": "um", "micrometres": "um", "micrometers": "um", "micron": "um",
    "microns": "um", "\u00b5m": "um", "\u03bcm": "um", "inch": "in", "inches": "in",
    "foot": "ft", "feet": "ft",
}  # fmt: skip

MISSING_MM = 65_535
"""The largest 16-bit number. Cameras write it where they see nothing; as a depth it is 65.5 m."""

_BEYOND_ANY_ROOM = 1e6
_LEAST_AMBIGUOUS, _LEAST_MILLIMETRES = 40.0, 400.0
"""Medians of floating point depths: below the first they are metres (a hall); from the second on,
millimetres (40 cm, the nearest that most cameras see). Between them they may be either, or
centimetres."""
_NEAREST_MM = 50.0
_MOSTLY = 0.9


class DepthOptions(SourceOptions):
    """What can be stated of depths that a file does not say."""

    depth_unit: DepthUnit | None = Field(
        default=None,
        description="the unit of the values; without it integers of a file are mm, floating point "
        "numbers m",
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="the factor from the file's numbers to depth_unit, or to m without one: 0.0002 "
        "for the TUM data sets (5000 to the metre), 0.00390625 for KITTI (256 to the metre)",
    )
    no_data: float | None = Field(
        default=None, description="the number that means no depth, besides 0, 65535 and NaN"
    )

    @property
    def millimetres_per_number(self) -> float | None:
        """The stated factor from the file's numbers to millimetres, None if nothing is stated."""
        if self.depth_unit is None and self.scale is None:
            return None
        return (self.scale or 1.0) * MILLIMETRES_PER_UNIT[self.depth_unit or "m"]


def unit_named(text: object, field: str) -> DepthUnit:
    """Return the unit of a name such as ``mm`` or ``millimeters``.

    Raises:
        InvalidInputError: There is no such unit.
    """
    word = text.strip().lower() if isinstance(text, str) else ""
    known = get_args(DepthUnit)
    if word in known:
        return word  # type: ignore[return-value]
    if word not in _SPELLINGS:
        raise InvalidInputError(
            f"unit must be one of {', '.join(known)}, got {text!r}", field=field, known=known
        )
    return _SPELLINGS[word]


def concluded_scale(values: Array, *, whole_are_mm: bool) -> float:
    """Return the number of millimetres per unit of depths whose unit is not stated.

    Args:
        values: An array of depths of any real type.
        whole_are_mm: Whether integers are millimetres by convention, as in files of cameras.

    Raises:
        InvalidInputError: The values may be in several units.
    """
    if whole_are_mm and values.dtype.kind != "f":
        return MILLIMETRES_PER_UNIT["mm"]
    with np.errstate(invalid="ignore"):  # casting some of the many NaN counts as invalid, too
        sample = _sample(values).astype(np.float64)
        valid = sample[(sample > 0) & (sample < _BEYOND_ANY_ROOM)]
    median = float(np.median(valid)) if valid.size else 0.0
    if median < _LEAST_AMBIGUOUS:
        if values.dtype.kind == "f" and valid.size and 1.0 == valid.max() > median:
            note(
                NoteCode.UNUSUAL,
                "depths go up to exactly 1, as normalised depth does; they were taken as metres, "
                "the unit of floating point depth",
            )
        return MILLIMETRES_PER_UNIT["m"]
    if median < _LEAST_MILLIMETRES:
        raise InvalidInputError(
            f"the unit of depths about {median:.0f} is not clear: metres, centimetres or "
            "millimetres; state depth_unit in the parameters",
            field="inputs",
            known=tuple(MILLIMETRES_PER_UNIT),
        )
    note(
        NoteCode.GUESSED,
        f"depths about {median:.0f} were taken as millimetres, as they are too large for metres; "
        "state depth_unit in the parameters",
    )
    return MILLIMETRES_PER_UNIT["mm"]


def without_depth(values: Array, mark: float) -> Array:
    """Return depths with 0, which is no data, in the place of a mark of missing depth."""
    marked = is_mark(values, mark)
    return np.where(marked, values.dtype.type(0), values) if marked.any() else values


def to_millimetres(values: Array, scale: float) -> npt.NDArray[np.uint16]:
    """Convert depths to uint16 millimetres; 0 is "no data".

    Values that are not finite or not positive are no data, and so is the largest number of
    integers or of 16 bits, which cameras write where they see nothing, and so are numbers that no
    camera measures, such as 3.4e38.

    Args:
        values: An array of depths of any real type.
        scale: The number of millimetres per unit of ``values``.

    Raises:
        InvalidInputError: no pixel has a depth.
    """
    out = np.empty(values.shape, dtype=np.uint16)
    missing = 0
    for source, target in zip(values, out, strict=True):  # frame by frame, for memory
        with np.errstate(invalid="ignore", over="ignore"):
            frame = source.astype(np.float64) * scale
        marked = (np.abs(frame - MISSING_MM) < 0.5) | is_beyond_measuring(frame)
        if (largest := _largest(source)) is not None:
            marked |= largest
        missing += int(np.count_nonzero(marked))
        valid = np.isfinite(frame) & (frame > 0) & ~marked
        target[...] = np.rint(np.clip(np.where(valid, frame, 0.0), 0, MISSING_MM))
    if not out.any():
        raise InvalidInputError(
            "no pixel has a depth: all are 0, negative, NaN or the largest number (65535)",
            field="inputs",
        )
    if missing:
        note(
            NoteCode.GUESSED,
            "pixels hold the largest number of their type or of 16 bits (65535), which cameras "
            "write where depth is missing; they were taken as no data",
            count=missing,
        )
    return out


def note_unusual(millimetres: npt.NDArray[np.uint16], farthest_mm: int) -> None:
    """Say if depths are not what a head can know: too far, too near, or all the same.

    Args:
        millimetres: An array of depths, 0 where there is none.
        farthest_mm: The farthest that the head knows.
    """
    sample = _sample(millimetres)
    valid = sample[sample > 0]
    if valid.size == 0:
        return
    median = float(np.median(valid))
    if float((valid >= farthest_mm).mean()) > _MOSTLY:
        note(
            NoteCode.UNUSUAL,
            f"nearly all depths (about {median / 1000:.3g} m) lie beyond the range of the head, "
            f"which ends at {farthest_mm / 1000:.3g} m; state depth_unit or scale in the "
            "parameters if the file's unit is another",
        )
    elif median < _NEAREST_MM:
        note(
            NoteCode.UNUSUAL,
            f"the depths (about {median:.3g} mm) are nearer than the range of depth cameras; state "
            "depth_unit or scale in the parameters if the file's unit is another",
        )
    if valid.min() == valid.max():
        note(
            NoteCode.EMPTY, "all pixels have the same depth: the picture is even and shows nothing"
        )


def _sample(values: Array) -> Array:
    """Return some hundred thousand of the values."""
    if values.ndim != 3:
        return values
    step = max(1, round((values.size / 500_000) ** 0.5))
    return values[:, ::step, ::step]


def _largest(values: Array) -> npt.NDArray[np.bool_] | None:
    """Return where integers are the largest of their type, or of 16 bits; None for others."""
    if values.dtype.kind == "f":
        return None
    return np.asarray((values == MISSING_MM) | (values == np.iinfo(values.dtype).max))
