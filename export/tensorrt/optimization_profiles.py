"""Optimization profiles: the sizes that a TensorRT plan accepts, and those it is tuned for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.parity.random_samples import batch_axes, dynamic_axes
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec, TensorSpec

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeRange:
    """The smallest shape of one input, the one to tune for, and the largest; batch first."""

    min: Shape
    opt: Shape
    max: Shape


Profile = Mapping[str, ShapeRange]


def head_profile(head: HeadSpec) -> dict[str, ShapeRange]:
    """Return the profile of a head in one piece, up to its ``max_batch_size``."""
    limits = batch_axes(head) | {"batch": (1, head.max_batch_size)}
    return make_profile(head.inputs, dynamic_axes(head), limits)


def make_profile(
    inputs: Sequence[TensorSpec],
    axes: Mapping[str, Mapping[int, str]],
    limits: Mapping[str, tuple[int, int]],
) -> dict[str, ShapeRange]:
    """Return the shapes of each input from the limits of its axes.

    Plans are tuned for the geometric mean of an axis' limits: requests differ by factors, and
    few are of the largest size. Inputs that share an axis agree in each of the three shapes.

    Args:
        inputs: The inputs of the graph; shapes leave out the batch.
        axes: A map from inputs to their dynamic axes: axis (0 is the batch) -> name.
        limits: A map from the names of axes to their smallest and largest sizes.

    Raises:
        ExportError: A dynamic axis has no name or no limits, or limits no size can meet.
    """
    return {tensor.name: _range(tensor, axes.get(tensor.name, {}), limits) for tensor in inputs}


def _range(
    tensor: TensorSpec, axes: Mapping[int, str], limits: Mapping[str, tuple[int, int]]
) -> ShapeRange:
    ends: list[tuple[int, int]] = []
    for axis, size in enumerate((-1, *tensor.shape)):
        if size >= 0:
            ends.append((size, size))
            continue
        name = axes.get(axis, "")
        if name not in limits:
            raise ExportError(f"{tensor.name}: axis {axis} is dynamic, but has no limits")
        low, high = limits[name]
        if not 1 <= low <= high:
            raise ExportError(f"{tensor.name}: no size is from {low} to {high} ({name})")
        ends.append((low, high))
    return ShapeRange(
        min=tuple(low for low, _ in ends),
        opt=tuple(round(math.sqrt(low * high)) for low, high in ends),
        max=tuple(high for _, high in ends),
    )
