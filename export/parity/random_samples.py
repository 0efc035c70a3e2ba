"""The sizes and random inputs that graphs are traced, bounded and compared with.

What an input of a modality looks like, its preprocessor knows (``random_inputs``); here are
the batch and the sizes of the dynamic axes to draw it at.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnivec2.preprocess import Array, DynamicAxis, preprocessor_type
from omnivec2.spec import HeadSpec

MAX_BATCH = 1024
_PRIMES = (11, 17, 23, 29)
# A dynamic axis that the preprocessor does not describe.
_UNKNOWN_AXIS = DynamicAxis((), 1, 4096, (1, 9, 40))


def dynamic_axes(head: HeadSpec) -> dict[str, dict[int, str]]:
    """Return the names of the dynamic axes: input -> axis (the batch is 0) -> name."""
    names = {tensor: name for name, axis in _described_axes(head).items() for tensor in axis.inputs}
    return {
        tensor.name: {0: "batch"}
        | {
            axis + 1: names.get(tensor.name, f"{tensor.name}_{axis}")
            for axis, size in enumerate(tensor.shape)
            if size == -1
        }
        for tensor in head.inputs
    }


def batch_axes(head: HeadSpec) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest size of every dynamic axis, by name."""
    lengths = {name: (axis.smallest, axis.largest) for name, axis in length_axes(head).items()}
    return {"batch": (1, MAX_BATCH)} | lengths


def length_axes(head: HeadSpec) -> dict[str, DynamicAxis]:
    """Return every dynamic axis but the batch, by name."""
    names = {name for axes in dynamic_axes(head).values() for name in axes.values()} - {"batch"}
    described = _described_axes(head)
    return {name: described.get(name, _UNKNOWN_AXIS) for name in sorted(names)}


def longest_input(head: HeadSpec) -> int:
    """Return the largest size of any dynamic axis but the batch; 0 if there is none."""
    return max((axis.largest for axis in length_axes(head).values()), default=0)


def length_cases(head: HeadSpec) -> list[dict[str, int]]:
    """Return the sizes of the dynamic axes to compare at; one empty case if none is dynamic."""
    axes = length_axes(head)
    count = max((len(axis.examples) for axis in axes.values()), default=1)
    return [
        {name: axis.examples[case % len(axis.examples)] for name, axis in axes.items()}
        for case in range(count)
    ]


def random_inputs(
    head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """Draw one batch of inputs, in the types of the head spec.

    Args:
        head: The head whose inputs are drawn.
        batch: The number of samples.
        lengths: The size of each dynamic axis.
        rng: The source of randomness.
    """
    arrays = preprocessor_type(head.modality).random_inputs(head, batch, lengths, rng)
    return {
        tensor.name: np.ascontiguousarray(arrays[tensor.name], dtype=np.dtype(tensor.dtype))
        for tensor in head.inputs
    }


def example_inputs(head: HeadSpec) -> dict[str, Array]:
    """Draw inputs to trace a network with.

    Sizes differ from each other and from 0 and 1 on purpose: tracing takes equal sizes
    for one axis, and 0 or 1 for a constant.
    """
    axes = length_axes(head).items()
    lengths = {
        name: min(axis.largest, prime) for (name, axis), prime in zip(axes, _PRIMES, strict=False)
    }
    return random_inputs(head, 3, lengths, np.random.default_rng(0))


def _described_axes(head: HeadSpec) -> dict[str, DynamicAxis]:
    return preprocessor_type(head.modality).dynamic_axes(head)
