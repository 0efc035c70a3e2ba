"""Drift: how far a window of rows is, as a whole, from rows that a head was validated on.

A row is described by its coordinates in the planes of the training reference and by the logarithm
of its distance. Of a window of n rows and the held-out rows of the reference, with means m and
standard deviations s of every coordinate d::

    distance² = sum over d of  ((m_d - m⁰_d) / s⁰_d)²  +  (s_d / s⁰_d - 1)²

which is the Fréchet distance between two normal distributions whose covariances are diagonal, as
they are in these coordinates. It counts shifts of the mean and changes of the spread alike.

The deviations s⁰ are shrunk towards those of training rows, by as much as ten rows would.

The **alert level** of a window length is what this distance exceeds by chance once in a thousand
windows, plus (as a sum of squares) a distance of 0.5, by which new data always differ. What chance
does is found by the bootstrap: as many rows are drawn from the held-out ones, many times, as the
reference that one could have had, and windows are drawn from the held-out ones, too. So it has in
it that the reference itself is an estimate, perhaps from few rows.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnivec2.arrays import Array


class DriftReference(BaseModel):
    """The held-out rows of a head, as drift is measured from them.

    Attributes:
        means: The mean of each coordinate, (dimensions,).
        deviations: The standard deviation of each coordinate, (dimensions,).
        windows: The lengths of windows, ascending.
        levels: The alert level of each length.
        rows: The number of held-out rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    means: tuple[float, ...] = Field(min_length=1)
    deviations: tuple[float, ...] = Field(min_length=1)
    windows: tuple[int, ...] = Field(min_length=1)
    levels: tuple[float, ...] = Field(min_length=1)
    rows: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_lengths(self) -> DriftReference:
        if len(self.means) != len(self.deviations) or len(self.windows) != len(self.levels):
            raise ValueError("there are not as many deviations as means, or levels as windows")
        return self

    def level(self, rows: int) -> float:
        """Return the alert level of a window of some rows.

        Between the measured lengths it follows a power of the length; beyond them it is that of
        the nearest.
        """
        known = np.log(self.windows), np.log(self.levels)
        return float(np.exp(np.interp(np.log(max(rows, 1)), *known)))

    def distance(self, rows_RD: Array) -> float:
        """Return the distance of a window.

        Args:
            rows_RD: The rows, as ``drift.describe_rows`` gives them; at least two.
        """
        return moments_distance(rows_RD, np.array(self.means), np.array(self.deviations))


def moments_distance(rows_RD: Array, means_D: Array, deviations_D: Array) -> float:
    """Return the distance of a window from rows of which the means and deviations are given."""
    shift = (rows_RD.mean(axis=0) - means_D) / deviations_D
    spread = rows_RD.std(axis=0) / deviations_D - 1.0
    return float(np.sqrt(np.square(shift).sum() + np.square(spread).sum()))
