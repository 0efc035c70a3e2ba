"""Turn weights that are stored in fewer bits into floating-point constants of a graph.

A checkpoint stores a matrix as rows of 8-bit integers with a scale each, and small tensors in half
precision; its graphs multiply and convert them. OpenVINO keeps such weights as they are stored
and, unless it is told not to, rounds what they are multiplied with to 8 bits at run time. That is
a precision of its own; for the others the weights become constants here.

The constants live in a temporary file that is mapped into memory: the compiler copies them into
its own layout, and the originals, which it keeps but does not read any more, can be given back to
the system.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from omnivec2.preprocess import Array

_STORED = frozenset({"i8", "u8", "f16"})
_STEPS = frozenset({"Convert", "Gather", "Multiply", "Subtract", "Transpose"})
"""Operators between stored weights and the floating-point weights that a graph computes with; a
Gather only of fixed rows, such as the words that a decoder may write."""

_MAPPED_BYTES = 32 * 2**10
"""Smaller constants, such as biases, are read in every run and stay in memory."""


class FloatWeights:
    """The floating-point weights of one graph.

    Attributes:
        nbytes: The bytes of the constants that were made.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._maps: list[mmap.mmap] = []

    def release_pages(self) -> None:
        """Give the memory of the constants back; what is read again comes from the file."""
        for pages in self._maps:
            pages.madvise(mmap.MADV_DONTNEED)

    def constant(self, values: Array) -> ov.Node:
        """Return a constant of a graph that is stored here."""
        self.nbytes += values.nbytes
        if values.nbytes < _MAPPED_BYTES:
            return ops.constant(np.ascontiguousarray(values))
        try:
            with tempfile.TemporaryFile() as file:
                # On a full disk, writing into a file with holes would end the process.
                os.posix_fallocate(file.fileno(), 0, values.nbytes)
                pages = mmap.mmap(file.fileno(), values.nbytes)
        except OSError:
            return ops.constant(np.ascontiguousarray(values))
        self._maps.append(pages)
        mapped = np.frombuffer(pages, values.dtype).reshape(values.shape)
        mapped[...] = values
        return ops.constant(mapped, shared_memory=True)


def use_float_weights(model: ov.Model) -> FloatWeights:
    """Replace stored weights with floating-point constants.

    Tables of which a run reads few rows, such as a vocabulary, stay as they are stored.

    Args:
        model: A graph that was read and not compiled yet; altered.
    """
    weights = FloatWeights()
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _STEPS or node.get_element_type() != ov.Type.f32:
            continue
        uses = [use for use in node.output(0).get_target_inputs() if _is_last_step(use)]
        if uses and _is_stored(node):
            _replace(node, uses, weights)
    return weights


def _is_last_step(use: ov.Input) -> bool:
    """Whether weights are used here as they are: not scaled further or looked up."""
    user = use.get_node()
    kind = user.get_type_name()
    if kind == "Gather" and use.get_index() == 0 and not _is_stored(user):
        return False
    return not (kind in _STEPS and _is_stored(user))


def _is_stored(node: ov.Node) -> bool:
    """Whether a node computes weights from nothing but constants, one of them in fewer bits."""
    constants = _constants(node)
    return any(
        c is not None and c.get_element_type().to_string() in _STORED for c in constants
    ) and (None not in constants)


def _constants(node: ov.Node) -> list[ov.Node | None]:
    """Return the constants that a node computes with; None stands for anything else."""
    if node.get_type_name() == "Constant":
        return [node]
    if node.get_type_name() not in _STEPS:
        return [None]
    return [c for value in node.input_values() for c in _constants(value.get_node())]


def _replace(node: ov.Node, uses: Sequence[ov.Input], weights: FloatWeights) -> None:
    values = _values(node)
    if node.get_type_name() == "Transpose" and all(_is_right_factor(use) for use in uses):
        # The product transposes by itself; a transposed constant would be one more copy.
        constant = weights.constant(values.T)
        for product in [use.get_node() for use in uses]:
            first = bool(product.get_attributes()["transpose_a"])
            other = ops.matmul(product.input_value(0), constant, first, True)
            other.set_friendly_name(product.get_friendly_name())
            product.output(0).replace(other.output(0))
        return
    constant = weights.constant(values)
    for use in uses:
        use.replace_source_output(constant.output(0))


def _is_right_factor(use: ov.Input) -> bool:
    """Whether a matrix is the second factor of a product that does not transpose it itself."""
    product = use.get_node()
    if product.get_type_name() != "MatMul" or use.get_index() != 1:
        return False
    transposes = bool(product.get_attributes()["transpose_b"])
    return not transposes and len(product.get_input_partial_shape(1)) == 2


def _values(node: ov.Node) -> Array:
    """Compute weights as the graph would."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.data)
    first, *others = (_values(value.get_node()) for value in node.input_values())
    if kind == "Convert":
        return first.astype(node.get_element_type().to_dtype())
    if kind == "Transpose":
        return first.transpose(others[0])
    if kind == "Gather":
        rows, axis = others
        return np.take(first, rows, int(axis))
    return np.multiply(first, others[0]) if kind == "Multiply" else np.subtract(first, others[0])


def weights_of(model: ov.Model, float_bytes: int) -> tuple[int, int]:
    """Return the number of a graph's weights, and their bytes in memory.

    Args:
        model: The graph.
        float_bytes: The bytes of a floating-point weight in the precision that runs.
    """
    number = total = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            shape, kind = node.get_output_shape(0), node.get_element_type()
            number += math.prod(shape)
            total += math.prod(shape) * (float_bytes if kind.is_real() else kind.size)
    return number, total
