"""Units of accelerations and rotation rates: what names state, what callers state, what values say.

Heads whose channels are not known to be in some unit take values as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import FloatColumn
from omnivec2.preprocess.notes import NoteCode, note

AccelerationUnit = Literal["g", "mg", "m/s^2", "cm/s^2"]
RotationUnit = Literal["rad/s", "deg/s", "mrad/s", "mdeg/s"]

STANDARD_GRAVITY = 9.80665
"""One g in m/s² (CGPM 1901)."""

IN_G: Mapping[str, float] = {
    **{"g": 1.0, "mg": 1e-3},
    **{"m/s^2": 1 / STANDARD_GRAVITY, "cm/s^2": 0.01 / STANDARD_GRAVITY},
}
"""Unit of acceleration -> its size in g."""

IN_RADIANS: Mapping[str, float] = {
    **{"rad/s": 1.0, "mrad/s": 1e-3},
    **{"deg/s": math.pi / 180, "mdeg/s": math.pi / 180e3},
}
"""Unit of rotation rate -> its size in rad/s."""

_SPELLINGS = {
    "g": "g gs gn gravity",
    "mg": "mg millig",
    "m/s^2": "m/s^2 m/s2 m/s² ms2 ms^2 ms-2 ms^-2 ms⁻² m/s/s m/sec^2 mps2 m/s**2 m*s^-2 m·s⁻² si",
    "cm/s^2": "cm/s^2 cm/s2 cm/s² gal",
    "rad/s": "rad/s rads rads-1 rad/sec radps rad·s⁻¹ rad*s^-1 rad",
    "mrad/s": "mrad/s",
    "deg/s": "deg/s degs dps °/s degree/s degrees/s deg/sec º/s degps deg",
    "mdeg/s": "mdeg/s mdps m°/s",
}
_UNIT_OF = {word: unit for unit, words in _SPELLINGS.items() for word in words.split()}

_AT_REST: Mapping[AccelerationUnit, float] = {
    "g": 1.0,
    "m/s^2": STANDARD_GRAVITY,
    "mg": 1000.0,
}
_AROUND = 1.6
"""A median length between 1 / 1.6 and 1.6 times that at rest tells the unit: people move about
one g up and down, but not for half of the time."""

_FASTEST_RADIANS = 35.0
"""2,000 degrees per second in rad/s, the range of the usual sensors."""

_STEADY_RADIANS = 6.0
"""A root mean square beyond a turn a second is no motion of a person."""


def channel_kind(channel: str) -> Literal["acceleration", "rotation", "other"]:
    """Say what a channel measures, by its name."""
    name = channel.lower()
    if "gyr" in name or "rot" in name or "omega" in name:
        return "rotation"
    return "acceleration" if "acc" in name or "grav" in name else "other"


def unit_in_name(column: str, channel: str) -> str | None:
    """Return the unit that a column's name states in brackets or behind the axis, if any."""
    kind = channel_kind(channel)
    texts = re.findall(r"[\[(]([^\])]*)[\])]", column)
    if found := re.search(r"(?:(?:^|[_\W])[xyz]|[XYZ])[_\s\-.]+(\S+)$", column):
        texts.append(found.group(1))
        texts.append(found.group(1).replace("_", "/"))
    for text in texts:
        unit = _UNIT_OF.get(text.replace(" ", "").lower())
        if unit in (IN_G if kind == "acceleration" else IN_RADIANS):
            return unit
    return None


def factors(
    signal: FloatColumn,
    channels: Sequence[str],
    named: Sequence[str | None],
    *,
    acceleration: AccelerationUnit | None,
    rotation: RotationUnit | None,
) -> FloatColumn:
    """Return what each channel is multiplied with to be in g or rad/s.

    Args:
        signal: A float64 array (samples, channels).
        channels: The names of the channels.
        named: The unit that the name of each channel's column states, or None.
        acceleration: The unit of accelerations that the caller states.
        rotation: The unit of rotation rates that the caller states.

    Returns:
        A float64 array (channels,).

    Raises:
        InvalidInputError: accelerations have the size of no unit.
    """
    kinds = [channel_kind(channel) for channel in channels]
    units: list[str | None] = [
        {"acceleration": acceleration, "rotation": rotation, "other": None}[kind] or unit
        for kind, unit in zip(kinds, named, strict=True)
    ]
    converted = sorted({unit for unit in named if unit not in (None, "g", "rad/s")})
    if converted and acceleration is None and rotation is None:
        note(
            NoteCode.CONVERTED,
            f"values were converted from {' and '.join(map(str, converted))}, the unit in the "
            "names of their columns, to g and rad/s",
        )
    without = [index for index, unit in enumerate(units) if unit is None]
    accelerations = [index for index in without if kinds[index] == "acceleration"]
    if accelerations and (unit := _acceleration_unit(signal, channels, accelerations)):
        units = [unit if index in accelerations else known for index, known in enumerate(units)]
    rotations = [index for index in without if kinds[index] == "rotation"]
    if rotations and (spin := _rotation_unit(signal[:, rotations])):
        units = [spin if index in rotations else known for index, known in enumerate(units)]
    return np.array([IN_G.get(u, IN_RADIANS.get(u, 1.0)) if u else 1.0 for u in units])


def _acceleration_unit(
    signal: FloatColumn, channels: Sequence[str], indices: Sequence[int]
) -> AccelerationUnit | None:
    """Return the unit in which gravity has its size; None if it is g, or cannot be told."""
    gravity = [
        index for index in indices if not re.search("body|lin|user", channels[index].lower())
    ]
    if len(gravity) != 3:
        return None
    length = float(np.median(np.linalg.norm(signal[:, gravity], axis=1)))
    for unit, at_rest in _AT_REST.items():
        if at_rest / _AROUND <= length <= at_rest * _AROUND:
            if unit == "g":
                return None
            note(
                NoteCode.GUESSED,
                f"accelerations of about {length:.3g} are plainly in {unit}: they were converted "
                "to g; state it in the parameter unit",
                field=f"inputs.{channels[gravity[0]]}",
            )
            return unit
    if length > max(_AT_REST.values()):
        raise InvalidInputError(
            f"accelerations of about {length:.3g} are in no known unit, perhaps raw counts of "
            f"the sensor: convert them to g, or state the unit ({', '.join(IN_G)})",
            field=f"inputs.{channels[gravity[0]]}",
        )
    note(
        NoteCode.UNUSUAL,
        f"accelerations have a length of about {length:.3g}; in g, the unit of this head, gravity "
        "alone is 1: is their unit another, or was gravity taken out?",
        field=f"inputs.{channels[gravity[0]]}",
    )
    return None


def _rotation_unit(rotation: FloatColumn) -> RotationUnit | None:
    strongest = float(np.abs(rotation).max(initial=0.0))
    steady = float(np.sqrt(np.mean(rotation**2))) if rotation.size else 0.0
    if strongest <= _FASTEST_RADIANS and steady <= _STEADY_RADIANS:
        return None
    note(
        NoteCode.GUESSED,
        f"rotation rates of up to {strongest:.3g} are plainly in deg/s: they were converted to "
        "rad/s; state it in the parameter gyro_unit",
    )
    return "deg/s"
