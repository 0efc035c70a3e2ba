"""Single values that a sensor missed, filled in from their neighbours in time."""

from __future__ import annotations

import numpy as np

from omnivec2.preprocess.formats.tables.frame import FloatColumn
from omnivec2.preprocess.notes import NoteCode, note

LONGEST_GAP_S = 0.5
"""Longer pauses between two samples are not interpolated: the motion in them is unknown."""


def fill_holes(signal: FloatColumn, times: FloatColumn) -> tuple[int, int] | None:
    """Fill in missing values in place, and note them.

    Args:
        signal: A float64 array (samples, channels), NaN where missing.
        times: An increasing float64 array (samples,) in seconds.

    Returns:
        The first sample and channel that cannot be filled in, as no value is known within
        ``LONGEST_GAP_S`` on both sides; None if all were.
    """
    holes = np.isnan(signal)
    count = int(holes.sum())
    if not count:
        return None
    for channel in np.flatnonzero(holes.any(axis=0)):
        missing = holes[:, channel]
        known = times[~missing]
        after = np.searchsorted(known, times[missing])
        inside = (after > 0) & (after < len(known))
        short = np.zeros(len(after), bool)
        gap = known[after[inside]] - known[after[inside] - 1]
        short[inside] = gap <= LONGEST_GAP_S
        if not short.all():
            return int(np.flatnonzero(missing)[~short][0]), int(channel)
        values = np.interp(times[missing], known, signal[~missing, channel])
        signal[missing, channel] = values
    note(
        NoteCode.FILLED,
        "values that the sensor missed were filled in between their neighbours",
        count=count,
    )
    return None


def note_missing_samples(steps: FloatColumn) -> None:
    """Say how many samples are missing between others, by the distances of their times."""
    typical = float(np.median(steps))
    missing = int(np.round(steps / typical - 1.0).clip(min=0).sum())
    if missing:
        note(
            NoteCode.FILLED,
            "samples are missing in gaps between others and were filled in",
            count=missing,
        )
