"""The sizes of a graph's dynamic axes, and the shapes that an engine compiles it for.

The exporter builds TensorRT plans from them, the service gives them to ONNX Runtime's TensorRT
provider. Needs neither torch nor onnx.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnivec2.errors import ArtifactError
from omnivec2.parts import LENGTH, LENGTH_BUCKETS
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import Generation, HeadSpec

BATCH = "batch"
"""The name of the first axis of every tensor of an exported graph."""

BEAMS, PLACES = "beams", "places"
"""The names of a decoder's own dynamic axes."""

LENGTH_LIMITS = (2, LENGTH_BUCKETS[-1])
"""The fewest and the most tokens of a sequence between parts."""

Limits = Mapping[str, tuple[int, int]]
"""The name of an axis -> its smallest and its largest size."""


@dataclass(frozen=True)
class ShapeRange:
    """The smallest shape of one input, the one to tune for, and the largest; batch first."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


def shape_range(name: str, axes: Sequence[int | str | None], limits: Limits) -> ShapeRange:
    """Return the shapes of one input from the limits of its axes.

    Engines are tuned for the geometric mean of an axis' limits: requests differ by factors, and
    few are of the largest size. Inputs that share an axis agree in each of the three shapes.

    Args:
        name: The name of the input, for errors.
        axes: The size of each axis, batch first, or the name of one that varies.
        limits: The limits of the axes that vary.

    Raises:
        ArtifactError: An axis that varies has no name or no limits, or limits no size can meet.
    """
    ends: list[tuple[int, int]] = []
    for index, axis in enumerate(axes):
        if isinstance(axis, int):
            ends.append((axis, axis))
            continue
        if axis is None or axis not in limits:
            raise ArtifactError(f"{name}: axis {index} is dynamic, but has no limits")
        low, high = limits[axis]
        if not 1 <= low <= high:
            raise ArtifactError(f"{name}: no size is from {low} to {high} ({axis})")
        ends.append((low, high))
    return ShapeRange(
        min=tuple(low for low, _ in ends),
        opt=tuple(round(math.sqrt(low * high)) for low, high in ends),
        max=tuple(high for _, high in ends),
    )


def head_limits(head: HeadSpec) -> dict[str, tuple[int, int]]:
    """Return the limits of every axis, but the batch, of the graphs that a head is run with.

    These are the axes of its inputs, that of the tokens between parts, and those of its decoder.
    """
    described = preprocessor_type(head.modality).dynamic_axes(head)
    limits = {name: (axis.smallest, axis.largest) for name, axis in described.items()}
    limits[LENGTH] = LENGTH_LIMITS
    if head.generation is not None:
        limits |= decoder_limits(head.generation)
    return limits


def decoder_limits(generation: Generation) -> dict[str, tuple[int, int]]:
    """Return the limits of a decoder's own axes."""
    return {BEAMS: (1, generation.max_beams), PLACES: (1, 2 * generation.max_new_tokens)}


def widest(one: Limits, other: Limits) -> dict[str, tuple[int, int]]:
    """Return limits that hold every size of both, for a graph that several heads share."""
    names = one.keys() | other.keys()
    both = {name: [limits[name] for limits in (one, other) if name in limits] for name in names}
    return {
        name: (min(low for low, _ in pairs), max(high for _, high in pairs))
        for name, pairs in both.items()
    }
