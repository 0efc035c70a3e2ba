"""Optimization profiles: the sizes that a TensorRT plan accepts, and those it is tuned for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from export.parity.random_samples import batch_axes, dynamic_axes
from omnivec2.engines.shape_ranges import BATCH, Limits, ShapeRange, shape_range
from omnivec2.errors import ArtifactError, ExportError
from omnivec2.spec import HeadSpec, TensorSpec

Profile = Mapping[str, ShapeRange]


def head_profile(head: HeadSpec) -> dict[str, ShapeRange]:
    """Return the profile of a head in one piece, up to its ``max_batch_size``."""
    limits = batch_axes(head) | {BATCH: (1, head.max_batch_size)}
    return make_profile(head.inputs, dynamic_axes(head), limits)


def make_profile(
    inputs: Sequence[TensorSpec], axes: Mapping[str, Mapping[int, str]], limits: Limits
) -> dict[str, ShapeRange]:
    """Return the shapes of each input from the limits of its axes.

    Args:
        inputs: The inputs of the graph; shapes leave out the batch.
        axes: A map from inputs to their dynamic axes: axis (0 is the batch) -> name.
        limits: A map from the names of axes to their smallest and largest sizes.

    Raises:
        ExportError: A dynamic axis has no name or no limits, or limits no size can meet.
    """
    try:
        return {
            tensor.name: shape_range(
                tensor.name,
                [
                    size if size >= 0 else axes.get(tensor.name, {}).get(axis)
                    for axis, size in enumerate((-1, *tensor.shape))
                ],
                limits,
            )
            for tensor in inputs
        }
    except ArtifactError as error:
        raise ExportError(str(error)) from error
