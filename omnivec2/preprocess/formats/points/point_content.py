"""What there is to see in a cloud: nothing in a place or on a line, little in a few points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.notes import NoteCode, note

_THIN = 1e-3
"""A cloud is a line if it is so much thinner than it is long (as standard deviations)."""


def note_content(points: npt.NDArray[np.float64], neighbours: int) -> None:
    """Note that a cloud shows nothing, or little.

    Args:
        points: The points with coordinates, (points, 3); at least one.
        neighbours: The points of one of the groups that the network sees.
    """
    if np.array_equal(points[0], points[-1]) and not np.ptp(points, axis=0).any():
        text = "all points lie in one place" if len(points) > 1 else "the cloud is a single point"
        note(NoteCode.EMPTY, text)
    elif _is_line(points):
        note(NoteCode.EMPTY, "all points lie on a straight line: the cloud has no surface")
    elif len(points) < neighbours:
        text = f"a cloud of fewer than {neighbours} points, which are repeated, shows little"
        note(NoteCode.UNUSUAL, text)


def _is_line(points: npt.NDArray[np.float64]) -> bool:
    """Whether all points lie on a straight line, but for noise of a thousandth of its length."""
    centred = points - points.mean(axis=0)
    largest = np.abs(centred).max()
    unit = centred / largest  # squares of coordinates near 1e15 stay exact enough
    _, second, first = np.linalg.eigvalsh(unit.T @ unit)
    return bool(second < _THIN**2 * first)
