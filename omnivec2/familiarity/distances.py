"""How far rows lie from a head's training data, from what the trunk says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnivec2.arrays import Array
from omnivec2.errors import ArtifactError
from omnivec2.familiarity.training_reference import Plane, TrainingReference


class UnpackedPlane:
    """A plane as arrays.

    Args:
        plane: The plane of a training reference.

    Raises:
        ArtifactError: Its arrays do not fit together.
    """

    def __init__(self, plane: Plane) -> None:
        self.mean_W = plane.mean.unpack()
        self.deviations_D = plane.deviations.unpack()
        directions_DW = plane.directions.unpack()
        width, dimensions = len(self.mean_W), len(self.deviations_D)
        if directions_DW.shape != (dimensions, width) or not (self.deviations_D > 0).all():
            raise ArtifactError("a training reference has directions of another shape")
        # They were rounded to eight bits: Q is a difference of squares if they are orthonormal.
        orthonormal_WD, triangle_DD = np.linalg.qr(directions_DW.T)
        self.directions_DW = (orthonormal_WD * np.sign(np.diag(triangle_DD))).T
        self.spread, self.residual = plane.spread, plane.residual

    def measure(self, rows_RW: Array) -> tuple[Array, Array]:
        """Return T and Q of each row."""
        centred_RW = rows_RW.astype(np.float32) - self.mean_W
        plane_RD = centred_RW @ self.directions_DW.T
        spread_R = np.sqrt(np.square(plane_RD / self.deviations_D).mean(axis=1))
        residual_R = np.linalg.norm(centred_RW - plane_RD @ self.directions_DW, axis=1)
        return np.asarray(spread_R), np.asarray(residual_R)


class Familiarity:
    """Distances of rows from the training data of one head.

    All planes and the contrast are one product of matrices, because a request has one row.

    Args:
        reference: The head's training reference.

    Attributes:
        reference: The same.

    Raises:
        ArtifactError: The reference's arrays do not fit together.
    """

    def __init__(self, reference: TrainingReference) -> None:
        self.reference = reference
        planes = [UnpackedPlane(plane) for plane in reference.planes.values()]
        widths = [len(plane.mean_W) for plane in planes]
        sizes = [len(plane.deviations_D) for plane in planes]
        self._starts = np.cumsum([0, *widths[:-1]])
        self._mean_W = np.concatenate([plane.mean_W for plane in planes])
        self._deviations_D = np.concatenate([plane.deviations_D for plane in planes])
        self._contrast_W = self._read_contrast(sum(widths))
        self._directions_WD = np.zeros((sum(widths), sum(sizes)), np.float32)
        # Squared coordinates -> (T / spread)² of each plane, and what they take away from Q².
        self._squares_DS = np.zeros((sum(sizes), 2 * len(planes)), np.float32)
        across = np.cumsum([0, *sizes])
        for index, plane in enumerate(planes):
            own = slice(across[index], across[index + 1])
            first = self._starts[index]
            self._directions_WD[first : first + widths[index], own] = plane.directions_DW.T
            scale_D = plane.deviations_D * plane.spread
            self._squares_DS[own, index] = 1 / (sizes[index] * scale_D**2)
            self._squares_DS[own, len(planes) + index] = 1
        residuals = np.array([plane.residual for plane in planes], np.float32)
        self._residuals_P = 1 / residuals**2

    @property
    def summaries(self) -> tuple[str, ...]:
        """The names of the trunk's outputs that it needs."""
        return self.reference.summaries

    def distances(self, summaries: Mapping[str, Array]) -> Array:
        """Return the distance of each row, (rows,); above 1 it is far from training.

        Args:
            summaries: The trunk's summaries: name -> array (rows, width).
        """
        joined_RW = join_summaries(summaries, self.summaries)
        centred_RW = joined_RW - self._mean_W
        squares_RS = np.square(centred_RW @ self._directions_WD) @ self._squares_DS
        planes = len(self._residuals_P)
        lengths_RP = np.add.reduceat(np.square(centred_RW), self._starts, axis=1)
        beside_RP = (lengths_RP - squares_RS[:, planes:]) * self._residuals_P
        excess_R = np.sqrt(np.maximum(squares_RS[:, :planes], beside_RP).max(axis=1))
        if (contrast := self.reference.contrast) is not None:
            sums_R = joined_RW @ self._contrast_W
            towards_R = (sums_R - contrast.middle) / (contrast.usual - contrast.middle)
            excess_R = np.maximum(excess_R, towards_R)
        return np.asarray(excess_R / self.reference.limit)

    def coordinates(self, summaries: Mapping[str, Array]) -> Array:
        """Return the coordinates of each row in all planes, (rows, all dimensions).

        Those of training rows have mean 0 and deviation 1; within a plane they are not correlated.

        Args:
            summaries: The trunk's summaries: name -> array (rows, width).
        """
        centred_RW = join_summaries(summaries, self.summaries) - self._mean_W
        return np.asarray(centred_RW @ self._directions_WD / self._deviations_D)

    def _read_contrast(self, width: int) -> Array:
        """Return the weights of the contrast; none if there is none."""
        if (contrast := self.reference.contrast) is None:
            return np.zeros(0, np.float32)
        weights_W = contrast.weights.unpack()
        if len(weights_W) != width:
            raise ArtifactError("a training reference has a contrast of another width")
        return weights_W


def join_summaries(summaries: Mapping[str, Array], names: Sequence[str]) -> Array:
    """Return the summaries of each row, one after the other, (rows, width of all)."""
    joined = np.concatenate([summaries[name] for name in names], axis=1)
    return np.asarray(joined, np.float32)
