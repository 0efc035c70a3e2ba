"""Curves of every task's loss in every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from omnivec2.preprocess import Array
from omnivec2.training.pictures.canvas import picture

_COLUMNS, _PANEL_INCHES = 4, (2.4, 1.2)
_POINTS = 80
_MEMORY = 0.9

Curves = Mapping[tuple[str, str], Sequence[float]]
"""(stage, route) -> its losses, step by step."""


def draw_curves(path: Path, curves: Curves) -> None:
    """Draw a small panel per curve: smoothed loss over the steps of its stage.

    Args:
        path: The PNG to write.
        curves: The losses by stage and route.
    """
    with picture(path, len(curves), _COLUMNS, _PANEL_INCHES) as (_, panels):
        for axes, ((stage, route), losses) in zip(panels, curves.items(), strict=True):
            steps, smooth = _smoothed(losses)
            axes.plot(steps, smooth, linewidth=1, gid=f"loss {stage} {route}")
            axes.set_ylim(0, 1.1 * np.max(smooth, initial=1e-12))
            axes.set_title(f"{stage} {route}", loc="left")


def _smoothed(losses: Sequence[float]) -> tuple[Array, Array]:
    """Return the moving average of the losses that are numbers, thinned to what can be seen."""
    steps = np.flatnonzero(np.isfinite(losses))
    if not steps.size:
        return steps, steps.astype(float)
    values = np.asarray(losses)[steps]
    # Starts from the first loss instead of from zero.
    smooth, _ = lfilter([1 - _MEMORY], [1, -_MEMORY], values, zi=[_MEMORY * values[0]])
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _POINTS)).round().astype(int)
    return steps[chosen], np.asarray(smooth)[chosen]
