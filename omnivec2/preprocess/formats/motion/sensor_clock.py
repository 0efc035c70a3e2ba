"""Time stamps of sensors -> the time of every sample in seconds.

Loggers write nanoseconds since the phone was started, count rows, repeat the last sample, or
write whole seconds beside fifty rows.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import FloatColumn
from omnivec2.preprocess.formats.tables.time_axis import TimeAxis
from omnivec2.preprocess.formats.tables.times.time_numbers import (
    PER_SECOND,
    TimeUnit,
    epoch_unit,
    is_counter,
)
from omnivec2.preprocess.notes import NoteCode, note

SHORTEST_S, LONGEST_S = 2.5e-4, 0.25
"""Distances between samples that are read as seconds (4 to 4,000 Hz); a thousand times as
much is read as milliseconds, and so on: the ranges do not overlap."""

_SLOWEST_S = 2.0
"""Times that can be dates are read as such up to this distance between samples."""

_SHARED = 0.95
"""Time stamps are coarse if there are fewer of them, per row."""

_MOST_RESTARTS = 64
"""Times that go back more often are shuffled rows; fewer times, they start again."""

Rows = npt.NDArray[np.int64]


def sample_times(axis: TimeAxis, signal: FloatColumn) -> tuple[FloatColumn, Rows] | None:
    """Return the time of every sample, and the rows of the samples in the order of their times.

    Args:
        axis: The time stamps, none missing.
        signal: A float64 array (rows, channels).

    Returns:
        An increasing float64 array of seconds, and the index of the row of each; None if the
        stamps only count the rows.

    Raises:
        InvalidInputError: their distances fit no sensor, several recordings follow one another,
            or shuffled rows share stamps.
    """
    stamps = axis.values
    if axis.unit is None:
        if is_counter(stamps) and stamps[0] <= 1 and len(stamps) > 2:
            note(
                NoteCode.GUESSED,
                f"column {axis.columns[0]!r} counts the rows and gives no sampling rate: it is "
                "left out; state sample_rate in Hz, or time_unit if it counts milliseconds",
                field=f"inputs.{axis.columns[0]}",
            )
            return None
        stamps = stamps / _units_per_second(axis, stamps)
    _check_restarts(stamps, signal, axis)
    if len(np.unique(stamps)) < _SHARED * len(stamps) and _rows_differ(stamps, signal):
        return _spread(stamps, axis), np.arange(len(stamps))
    times, first = np.unique(stamps, return_index=True)
    if len(times) < len(stamps):
        note(
            NoteCode.DROPPED,
            f"rows that repeat a time in {axis.name} were left out as duplicates",
            field=f"inputs.{axis.columns[0]}",
            count=len(stamps) - len(times),
        )
    return _from_first(times), first


def _from_first(times: FloatColumn) -> FloatColumn:
    """Count from the first sample, without the digits that a number of this size cannot hold.

    Seconds since 1970 are exact to 0.24 µs in float64: that noise must not move the grid.
    """
    largest = max(float(np.abs(times).max()), 1.0)
    digits = int(-np.log10(4 * np.spacing(largest)))
    return np.asarray(np.round(times - times[0], digits), np.float64)


def _units_per_second(axis: TimeAxis, stamps: FloatColumn) -> float:
    """Conclude from the distance between samples whether times are in s, ms, µs or ns."""
    unique = np.unique(stamps)
    if len(unique) < 2:
        return PER_SECOND[epoch_unit(stamps) or "s"]
    step = float(np.median(np.diff(unique))) * len(unique) / len(stamps)
    dated = epoch_unit(stamps)
    if dated is not None and SHORTEST_S <= step / PER_SECOND[dated] <= _SLOWEST_S:
        return PER_SECOND[dated]
    fractions = bool((unique != np.floor(unique)).any())
    if fractions and LONGEST_S <= step < _SLOWEST_S:
        # Fractions of a millisecond are rarer than sensors that are too slow.
        return 1.0
    for unit in get_args(TimeUnit):
        if unit in ("s", "ms", "us", "ns"):
            seconds = step / PER_SECOND[unit]
            if SHORTEST_S <= seconds < LONGEST_S:
                if unit != "s":
                    note(
                        NoteCode.GUESSED,
                        f"times in {axis.name} are taken as {unit}, as samples are "
                        f"{step:g} apart ({1 / seconds:.4g} Hz); state time_unit",
                        field=f"inputs.{axis.columns[0]}",
                    )
                return PER_SECOND[unit]
    raise InvalidInputError(
        f"column {axis.columns[0]!r}: samples lie {step:g} apart, which fits no sensor; "
        "expected times in s, ms, µs or ns, or the parameter time_unit",
        field=f"inputs.{axis.columns[0]}",
    )


def _check_restarts(stamps: FloatColumn, signal: FloatColumn, axis: TimeAxis) -> None:
    """Refuse recordings that follow one another and overlap in time; repeated rows may."""
    back = np.flatnonzero(np.diff(stamps) < 0)
    if not 0 < len(back) <= min(_MOST_RESTARTS, len(stamps) // 8):
        return
    starts = np.concatenate(([0], back + 1))
    ends = np.concatenate((back, [len(stamps) - 1]))
    order = np.argsort(stamps[starts])
    overlaps = stamps[starts][order][1:] < stamps[ends][order][:-1]
    if overlaps.any() and not _repeat_first(stamps, signal, int(starts[1])):
        raise InvalidInputError(
            f"the times in {axis.name} start again at row {int(back[0]) + 2}: several recordings "
            "follow one another, or repeat; send one at a time",
            field=f"inputs.{axis.columns[0]}",
        )


def _repeat_first(stamps: FloatColumn, signal: FloatColumn, start: int) -> bool:
    """Whether all rows from ``start`` on are rows before it once more."""
    places = np.minimum(np.searchsorted(stamps[:start], stamps[start:]), start - 1)
    same_times = (stamps[:start][places] == stamps[start:]).all()
    return bool(same_times and (signal[:start][places] == signal[start:]).all())


def _rows_differ(stamps: FloatColumn, signal: FloatColumn) -> bool:
    """Whether most neighbours with the same stamp hold different samples."""
    same = np.diff(stamps) == 0
    return bool(same.any()) and bool((np.diff(signal, axis=0)[same] != 0).any(axis=1).mean() > 0.5)


def _spread(stamps: FloatColumn, axis: TimeAxis) -> FloatColumn:
    """Spread the rows that share a time stamp evenly up to the next one."""
    if (np.diff(stamps) < 0).any():
        raise InvalidInputError(
            f"several rows share the same time in {axis.name}, and rows are not in order: the "
            "resolution of whole seconds does not tell which comes first",
            field=f"inputs.{axis.columns[0]}",
        )
    unique, first, counts = np.unique(stamps, return_index=True, return_counts=True)
    if len(unique) < 2:
        raise InvalidInputError(
            f"all rows share the same time in {axis.name}; send finer time stamps, or the rows "
            "without them and the parameter sample_rate in Hz",
            field=f"inputs.{axis.columns[0]}",
        )
    step = float(np.median(np.diff(unique)))
    # The first and the last stamp may have begun before, or go on after, the recording.
    inner = counts[1:-1] if len(counts) > 2 else counts
    per_stamp = float(np.median(inner))
    note(
        NoteCode.GUESSED,
        f"about {per_stamp:g} rows share the same time in {axis.name}: they were spread evenly, "
        f"at a sampling rate of {per_stamp / step:.4g} Hz; send finer time stamps, or state "
        "sample_rate",
        field=f"inputs.{axis.columns[0]}",
    )
    within = np.arange(len(stamps)) - np.repeat(first, counts)
    full = np.maximum(counts, per_stamp)
    full[1:-1] = counts[1:-1]
    offset = within * (step / np.repeat(full, counts))
    # Rows of the first stamp are its last ones.
    offset[: counts[0]] += step * (1 - counts[0] / full[0])
    return stamps + offset
