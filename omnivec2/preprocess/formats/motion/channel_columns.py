"""Which column holds which channel of a motion sensor, whatever its name's spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnivec2.preprocess.formats.motion.motion_units import unit_in_name
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.times.time_numbers import name_words
from omnivec2.preprocess.notes import NoteCode, note

_SYNONYMS = {
    **dict.fromkeys(("accel", "accelerometer", "acceleration", "accelerations", "accl"), "acc"),
    **dict.fromkeys(("gyroscope", "gyr", "gyros", "omega", "rotationrate"), "gyro"),
    **dict.fromkeys(("linear", "user", "dynamic"), "body"),
    **dict.fromkeys(("magnetometer", "magnetic"), "mag"),
    **{"ax": "acc x", "ay": "acc y", "az": "acc z", "gx": "gyro x", "gy": "gyro y", "gz": "gyro z"},
    **{"accx": "acc x", "accy": "acc y", "accz": "acc z"},
    **{"gyrox": "gyro x", "gyroy": "gyro y", "gyroz": "gyro z"},
    **{"gyrx": "gyro x", "gyry": "gyro y", "gyrz": "gyro z"},
}
_FILLERS = frozenset(("total", "sensor", "axis", "raw", "imu", "phone", "data", "value", "the"))
_PAIRS = (("rotation", "rate"), ("angular", "velocity"), ("angular", "rate"), ("angular", "speed"))


@dataclass(frozen=True)
class ChannelColumn:
    """The column of a channel.

    Attributes:
        channel: The name of the channel.
        column: The name of its column.
        unit: The unit that the column's name states, or None.
    """

    channel: str
    column: str
    unit: str | None = None


def find_channels(frame: Frame, channels: Sequence[str]) -> list[ChannelColumn]:
    """Find the columns of channels by name.

    Case, punctuation, a unit behind the name and the usual synonyms make no difference.

    Args:
        frame: A table whose columns have names.
        channels: The channels.

    Returns:
        One column per channel, in their order.

    Raises:
        InvalidInputError: a channel has no column; it is named.
    """
    found: list[ChannelColumn] = []
    missing: list[str] = []
    by_plain_name = {_plain(name): name for name in frame.columns}
    # The names without units and with common words, where they differ from the plain ones.
    by_words = {_words(without_unit(name)): name for name in reversed(list(frame.columns))}
    taken: set[str] = set()
    for channel in channels:
        column = by_plain_name.get(_plain(channel)) or by_words.get(_words(channel))
        if column is None:
            column = _raw_rotation(channel, by_words, channels)
        if column is None or column in taken:
            missing.append(channel)
            continue
        taken.add(column)
        found.append(ChannelColumn(channel, column, unit_in_name(column, channel)))
    if missing:
        frame.require(missing)
    return found


def without_unit(name: str) -> str:
    """Return a column's name without a unit in brackets."""
    return re.sub(r"\s*[\[(][^\])]*[\])]", "", name)


def _raw_rotation(
    channel: str, by_words: Mapping[frozenset[str], str], channels: Sequence[str]
) -> str | None:
    """Take a rotation that is not called the body's: unlike accelerations, it is the same."""
    column = by_words.get(_words(channel) - {"body"})
    is_channel = any(_plain(other) == _plain(column or "") for other in channels)
    if column is None or is_channel or "gyro" not in _words(channel):
        return None
    note(
        NoteCode.GUESSED,
        f"column {column!r} is taken for {channel!r}",
        field=f"inputs.{column}",
    )
    return column


def _plain(name: str) -> str:
    """Drop case, spaces and punctuation of a name: Acc_X, acc-x and accx are equal."""
    return re.sub(r"[\W_]+", "", name).lower()


def _words(name: str) -> frozenset[str]:
    words = name_words(name)
    for pair in _PAIRS:
        if all(word in words for word in pair):
            words = ["gyro", *(word for word in words if word not in pair)]
    common = " ".join(_SYNONYMS.get(word, word) for word in words).split()
    # Units behind the name are no part of it: acc_x_g, gyro_x_rad_s.
    axes = [index for index, word in enumerate(common) if word in ("x", "y", "z")]
    if axes and any(word in ("acc", "gyro", "mag") for word in common[: axes[-1]]):
        common = common[: axes[-1] + 1]
    return frozenset(common) - _FILLERS
