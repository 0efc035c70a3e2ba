"""Padding in the tokens of a batch: count it, and cut off what no row needs.

Tokenizers pad their tokens to a few lengths, so that requests can meet. What is padding in every
row of a batch need not be computed: padding never changes an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from omnivec2.parts import MASK
from omnivec2.preprocess import Array
from service.runtimes.embedded.batching.batch_rows import Batch
from service.runtimes.embedded.engines.base import Shape


def count_tokens(batch: Batch) -> tuple[int, int]:
    """Return how many tokens of a batch are real, and how many are padding.

    The inputs whose names end in ``mask`` tell; without one, both are 0.
    """
    real = total = 0
    for name, array in batch.items():
        if name.endswith(MASK):
            real += int(np.count_nonzero(array))
            total += array.size
    return real, total - real


def token_tensors(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> frozenset[str]:
    """Return the names of a graph's tensors of which padding may be cut off.

    These are the tensors whose second axis, which varies, is that of the mask. There are none if
    the graph has no mask, or an output that has this axis in another place or of which too
    little is known.

    Args:
        inputs: The tensors the graph takes: name -> axes.
        outputs: The tensors the graph gives: name -> axes.
    """
    _, *lengths = inputs.get(MASK, ("batch",))
    if len(lengths) != 1 or not isinstance(lengths[0], str):
        return frozenset()
    (length,) = lengths
    if any(None in shape or length in shape[2:] for shape in (*inputs.values(), *outputs.values())):
        return frozenset()
    tensors = {**inputs, **outputs}
    return frozenset(name for name, shape in tensors.items() if shape[1:2] == (length,))


def trim_tokens(batch: Batch, tensors: Collection[str]) -> Batch:
    """Cut off the tokens at the end that are padding in every row.

    Args:
        batch: The inputs of a graph, with its mask: name -> array (batch, ...).
        tensors: The names of the tensors with a second axis of tokens; see ``token_tensors``.
    """
    mask = batch[MASK]
    used = np.flatnonzero(mask.any(axis=0))
    length = int(used[-1]) + 1 if used.size else 1
    if length == mask.shape[1]:
        return batch
    return {name: array[:, :length] if name in tensors else array for name, array in batch.items()}


def restore_tokens(outputs: Batch, tensors: Collection[str], length: int) -> Batch:
    """Pad the tokens of outputs with zeros to the length from before ``trim_tokens``.

    Args:
        outputs: The outputs of the graph: name -> array (batch, ...).
        tensors: The names of the tensors with a second axis of tokens.
        length: The number of tokens that the outputs shall have.
    """
    restored: dict[str, Array] = {}
    for name, array in outputs.items():
        if name in tensors and array.shape[1] < length:
            padded = np.zeros((len(array), length, *array.shape[2:]), array.dtype)
            padded[:, : array.shape[1]] = array
            restored[name] = padded
        else:
            restored[name] = array
    return restored
