"""Point clouds: groups of neighbouring points around centres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.points import (
    GROUP_GAIN,
    PointCloudTokenizer,
    PointCloudTokenizerConfig,
)
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.pointcloud import PointCloudPreprocessor
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.pointcloud import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.restoration import Inputs, Restoration, every_token
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 32
"""Points that a decoder draws per group, as many as a group has by default."""

_GRID = 12
"""Cells along each side of the grid that plain features count points in."""


class PointCloudRestoration(Restoration[PointCloudTokenizer]):
    """``groups`` (B, G, K, 3) relative to ``centres`` (B, G, 3), which stay known."""

    outputs = _POINTS * 3

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every group."""
        return every_token(inputs, inputs["groups"].shape[1])

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Move all points of a hidden group to its centre."""
        del generator
        return {**inputs, "groups": inputs["groups"].masked_fill(hidden_BN[..., None, None], 0.0)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's embedding of the centres."""
        return self.tokenizer.centre(inputs["centres"])

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the chamfer distance to the real points, on the tokenizer's scale."""
        drawn = predicted_BNP[hidden_BN].reshape(-1, _POINTS, 3)
        real = inputs["groups"][hidden_BN].float() * GROUP_GAIN
        return chamfer(drawn, real)


class OrderedPointsRestoration(PointCloudRestoration):
    """The paper's l2 between points: each is drawn at its place in the order of its group."""

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the mean squared distance to the real points, on the tokenizer's scale."""
        real = inputs["groups"][hidden_BN].float()[:, :_POINTS] * GROUP_GAIN
        drawn = predicted_BNP[hidden_BN].reshape(-1, _POINTS, 3)[:, : real.shape[1]]
        return (drawn - real).square().sum(dim=-1).mean()


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared distance to the nearest point, both ways.

    Args:
        a: The points of one set of clouds, (S, K, 3).
        b: The points of the other, (S, M, 3).
    """
    squared = (a[:, :, None] - b[:, None]).square().sum(dim=-1)
    return squared.amin(dim=2).mean() + squared.amin(dim=1).mean()


class PointCloudTraining(ModalityTraining):
    """Training on point clouds: ``groups`` (G, K, 3) relative to ``centres`` (G, 3)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the usual sizes: points are brought to one form before."""
        del task
        return PointCloudTokenizerConfig()

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return which cells of a grid over the cloud hold a point."""
        return feature_rows(_occupied_cells, samples)


def _occupied_cells(sample: Sample) -> Array:
    points = (sample["groups"] + sample["centres"][:, None]).reshape(-1, 3)
    cells = ((points + 1) / 2 * _GRID).astype(np.int64).clip(0, _GRID - 1)
    index = np.ravel_multi_index(tuple(cells.T), (_GRID,) * 3)
    return np.asarray(np.bincount(index, minlength=_GRID**3) > 0)


def _draw(axes: Axes, sample: Sample) -> None:
    """Draw the cloud from the side; what is further away is lighter."""
    points = (sample["groups"] + sample["centres"][:, None]).reshape(-1, 3)
    points = points[np.argsort(-points[:, 1])]
    axes.scatter(points[:, 0], points[:, 2], c=points[:, 1], s=2, cmap="viridis", linewidths=0)
    axes.set_aspect("equal")


TRAINING = PointCloudTraining(
    preprocessor=PointCloudPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.60,
    literal_mask_ratio=0.90,
    restoration=PointCloudRestoration,
    literal_forms={"points": OrderedPointsRestoration},
    display=Drawing(_draw),
    adaptation=AdaptationRules(),
)
