"""The memory of a batch: attention compares all tokens of a row with each other.

So a batch takes memory by its rows and by the *square* of their length. Limits on rows and on bytes
of requests say little of that: 32 graphs of 1,500 tokens are 400 kB of JSON and 7 GB of attention.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from omnivec2.parts import MASK, TRUNK, is_part
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec

Axes = Mapping[str, tuple[int | str | None, ...]]
"""Tensor -> its axes, of which the first is the batch; names are of sizes that vary."""


def tokens_in_graph(name: str, axes: Axes, inputs: Mapping[str, Array]) -> int:
    """Return how many tokens of one row a graph compares with each other.

    Args:
        name: The name of the model or part.
        axes: The tensors that the graph takes.
        inputs: Some rows of them: name -> array (batch, ...).

    Returns:
        The number; 0 for a part without attention between the tokens, and for inputs of one fixed
        shape, whose number of tokens is not known here but does not vary either.
    """
    if name == TRUNK and MASK in inputs:
        return int(inputs[MASK].shape[1])
    if is_part(name):
        return 0
    sizes = {
        axis: size
        for tensor, array in inputs.items()
        for axis, size in zip(axes.get(tensor, ())[1:], array.shape[1:], strict=False)
        if isinstance(axis, str)
    }
    return sum(sizes.values())


def tokens_in_head(spec: HeadSpec, inputs: Mapping[str, Array]) -> int:
    """Return how many tokens of one row a head compares with each other, by its inputs alone.

    Every kind of token has a mask if their number varies, and they are joined: nodes and edges.
    Without a mask it is the largest product of axes that vary.

    Args:
        spec: The spec of the head.
        inputs: Some rows of its inputs: name -> array (batch, ...).
    """
    lengths = {
        tensor.name: math.prod(
            size
            for size, wanted in zip(inputs[tensor.name].shape[1:], tensor.shape, strict=True)
            if wanted < 0
        )
        for tensor in spec.inputs
        if any(wanted < 0 for wanted in tensor.shape)
    }
    masks = [length for name, length in lengths.items() if name.endswith(MASK)]
    return sum(masks) if masks else max(lengths.values(), default=0)


def rows_within(token_pairs: int, tokens: int, most: int) -> int:
    """Return how many rows of so many tokens a batch may have: at least 1, at most ``most``."""
    return most if tokens == 0 else max(1, min(most, token_pairs // tokens**2))
