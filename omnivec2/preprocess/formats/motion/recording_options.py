"""What a caller can state of a recording: units, rate, and which way the sensor is worn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from omnivec2.preprocess.formats.motion.motion_units import AccelerationUnit, RotationUnit
from omnivec2.preprocess.formats.tables.time_axis import TimeOptions

UPWARD = {
    "x": ((0, 1), (1, 1), (2, 1)),
    "y": ((1, 1), (0, -1), (2, 1)),
    "z": ((2, 1), (1, 1), (0, -1)),
    "-x": ((0, -1), (1, -1), (2, 1)),
    "-y": ((1, -1), (0, 1), (2, 1)),
    "-z": ((2, -1), (1, 1), (0, 1)),
}
"""The axis that points up when the wearer stands -> the axis and sign of each axis of the head,
whose x points up: rotations, so that left stays left."""


class ImuOptions(TimeOptions):
    """What a caller can state about a recording."""

    unit: AccelerationUnit | None = Field(default=None, description="unit of accelerations")
    gyro_unit: RotationUnit | None = Field(default=None, description="unit of rotation rates")
    sample_rate: float | None = Field(
        default=None, gt=0, le=1e6, description="samples per second, for rows without times"
    )
    up_axis: Literal["x", "y", "z", "-x", "-y", "-z"] | None = Field(
        default=None, description="axis that points up when the wearer stands; x for this head"
    )
