"""Losses of numbers: quantities, series with quantiles, and maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.training.losses.base import LossScale, Outputs

_GRADIENT_WEIGHT = 0.5
"""The weight of a map's slopes beside its values, as of MiDaS (Ranftl et al., 2020)."""
_VARIANCE_FOCUS = 0.5
"""The share of the common factor that costs nothing (Eigen et al., 2014)."""
_SMALLEST = 1e-2
"""The smallest value, in deviations of the targets, that a logarithm is taken of; below, it goes on
as a straight line, so that there is a gradient."""


def regression_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the mean squared error in units of the training targets' deviation."""
    return _scaled_error(outputs["values"], targets, scale).square().mean()


def absolute_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the mean absolute error in units of the training targets' deviation."""
    return _scaled_error(outputs["values"], targets, scale).abs().mean()


def forecasting_loss(
    outputs: Outputs, targets: Sequence[Any], scale: LossScale, *, levels: Sequence[float] = ()
) -> Tensor:
    """Compute the mean squared error, and the pinball loss of quantiles if there are any.

    Args:
        outputs: The head's ``mean`` (B, horizon), ``quantiles`` (B, levels, horizon).
        targets: The real values, each [horizon].
        scale: Each sample's own deviation, (B, 1).
        levels: The levels of the quantiles in 0..1.
    """
    error = _scaled_error(outputs["mean"], targets, scale)
    loss = error.square().mean()
    if levels:
        quantiles = outputs["quantiles"].float()
        level = torch.as_tensor(levels, device=error.device)[:, None]
        real = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=error.device)
        below = _divided(real[:, None] - quantiles, scale)
        loss = loss + torch.maximum(level * below, (level - 1) * below).mean()
    return loss


def map_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the l1 error of maps and of their slopes, in deviations; NaN costs nothing.

    Args:
        outputs: The head's ``values`` (B, targets, h, w), resized to the size of the targets.
        targets: The real maps, each [targets, h, w] or [h, w].
        scale: The deviation of each target.
    """
    predicted, real = _maps(outputs, targets)
    known = real.isfinite()
    error = torch.where(known, predicted - real, torch.zeros_like(real))
    error = _divided_maps(error, scale)
    loss = error.abs().sum() / known.sum().clamp(min=1)
    for axis in (2, 3):
        first, second = (known.narrow(axis, start, known.shape[axis] - 1) for start in (0, 1))
        both = first & second
        slope = torch.diff(error, dim=axis).abs() * both
        loss = loss + _GRADIENT_WEIGHT * slope.sum() / both.sum().clamp(min=1)
    return loss


def scale_invariant_loss(outputs: Outputs, targets: Sequence[Any], scale: LossScale) -> Tensor:
    """Compute the scale-invariant error of logarithms of maps (Eigen et al., 2014).

    Pixels that are NaN, zero or negative cost nothing.

    Args:
        outputs: The head's ``values`` (B, targets, h, w), resized to the size of the targets.
        targets: The real maps, each [targets, h, w] or [h, w].
        scale: The deviation of each target.
    """
    predicted, real = _maps(outputs, targets)
    predicted, real = _divided_maps(predicted, scale), _divided_maps(real, scale)
    known = real > _SMALLEST  # false for NaN
    logs = _log(predicted) - torch.where(known, real, torch.ones_like(real)).log()
    counts = known.sum(dim=(2, 3)).clamp(min=1)
    square = (logs.square() * known).sum(dim=(2, 3)) / counts
    mean = (logs * known).sum(dim=(2, 3)) / counts
    return (square - _VARIANCE_FOCUS * mean.square()).mean()


def _log(values: Tensor) -> Tensor:
    line = math.log(_SMALLEST) + (values - _SMALLEST) / _SMALLEST
    return torch.where(values > _SMALLEST, values.clamp(min=_SMALLEST).log(), line)


def _maps(outputs: Outputs, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Return predicted and real maps of the size of the real ones, (B, targets, h, w)."""
    values = outputs["values"].float()
    real = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=values.device)
    real = real.reshape(len(real), values.shape[1], *real.shape[-2:])
    resized = F.interpolate(values, size=real.shape[-2:], mode="bilinear", align_corners=False)
    return resized, real


def _scaled_error(predicted: Tensor, targets: Sequence[Any], scale: LossScale) -> Tensor:
    real = torch.as_tensor(np.stack(targets), dtype=torch.float32, device=predicted.device)
    error = predicted.float() - real
    return error if scale.scale is None else error / scale.scale.to(error)


def _divided(error: Tensor, scale: LossScale) -> Tensor:
    """Divide errors (B, levels, horizon) by each sample's deviation (B, 1)."""
    return error if scale.scale is None else error / scale.scale.to(error)[:, None]


def _divided_maps(error: Tensor, scale: LossScale) -> Tensor:
    """Divide maps (B, targets, h, w) by the deviation of each target."""
    if scale.scale is None:
        return error
    return error / scale.scale.to(error).reshape(-1, 1, 1)
