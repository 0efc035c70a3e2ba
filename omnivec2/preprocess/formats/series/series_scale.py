"""Series whose numbers do not survive 32 bits as they are: far offsets, tiny or no changes.

The network normalises every series itself, in 32 bits. That loses the shape of a counter that
stands at 100,000,000 and moves by tens, and a constant series has no scale at all. Such series
are normalised here in 64 bits, and the answer is brought back to their units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.base import Array
from omnivec2.preprocess.notes import NoteCode, note

_FARTHEST = 1e3
"""Up to so many deviations from zero, rounding to 32 bits costs less than 1e-4 deviations."""

_SMALLEST = 1e-2
"""The smallest deviation that is left as it is: the network adds 1e-8 to its square."""


_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""A deviation that is smaller, relative to the largest value, is that of rounding."""


@dataclass(frozen=True)
class ScaledSeries:
    """A series as the network reads it.

    Attributes:
        values: A float32 array (steps,).
        location: The number that is added to the network's answer.
        scale: The number that its answer is multiplied with first; 0 for a constant series.
    """

    values: Array
    location: float = 0.0
    scale: float = 1.0

    @property
    def is_scaled(self) -> bool:
        """Whether the network reads other numbers than the caller sent."""
        return (self.location, self.scale) != (0.0, 1.0)


def is_constant(deviation: Any, largest: Any) -> Any:
    """Whether series have no deviation but that of rounding; numbers, or arrays of them.

    Args:
        deviation: The standard deviation of each series.
        largest: The largest absolute value of each series.
    """
    return deviation <= _ROUNDING * largest


def survives_rounding(deviation: Any, largest: Any) -> Any:
    """Whether 32 bits keep the shape of series; numbers, or arrays of them.

    Args:
        deviation: The standard deviation of each series.
        largest: The largest absolute value of each series.
    """
    return (deviation >= _SMALLEST) & (largest <= _FARTHEST * deviation)


def scale_series(series: npt.NDArray[np.float64], name: str) -> ScaledSeries:
    """Normalise a series if 32 bits would lose its shape.

    Args:
        series: A float64 array (steps,) of finite numbers.
        name: The name of the series, for notes.
    """
    middle = float(series.mean())
    deviation = float(series.std())
    largest = float(np.abs(series).max())
    if is_constant(deviation, largest):
        note(
            NoteCode.EMPTY,
            f"series {name!r} is constant: its forecast is the same value",
            field=f"inputs.{name}",
        )
        # The network divides by the deviation: it needs one.
        steps = np.where(np.arange(len(series)) % 2, -1.0, 1.0)
        return ScaledSeries(steps.astype(np.float32), float(series[-1]), 0.0)
    if survives_rounding(deviation, largest):
        return ScaledSeries(series.astype(np.float32))
    return ScaledSeries(((series - middle) / deviation).astype(np.float32), middle, deviation)
