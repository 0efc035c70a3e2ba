"""Let a graph say whether it was given an index outside of a table.

ONNX Runtime refuses such an index. OpenVINO's ``Gather`` looks up zeros instead, so that a word
that is not in the vocabulary would get an answer that looks like any other.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as ops

OUT_OF_RANGE = "omnivec2_index_out_of_range"
"""The output that is added to a graph: whether an index of the batch is outside of its table."""

_GATHERS = frozenset({"Gather", "GatherElements", "GatherND"})


def add_index_check(model: ov.Model) -> bool:
    """Add the output ``OUT_OF_RANGE`` if the graph looks anything up by computed indices.

    Args:
        model: A graph that was read and not compiled yet; altered.

    Returns:
        Whether the output was added.
    """
    checks = [_out_of_range(node) for node in model.get_ordered_ops() if _looks_up(node)]
    if not checks:
        return False
    result = checks[0]
    for check in checks[1:]:
        result = ops.logical_or(result, check)
    result.output(0).tensor.set_names({OUT_OF_RANGE})
    model.add_outputs([result.output(0)])
    return True


def _looks_up(node: ov.Node) -> bool:
    if node.get_type_name() not in _GATHERS:
        return False
    kinds: list[str] = [node.input_value(i).get_node().get_type_name() for i in (0, 1)]
    return kinds[0] != "ShapeOf" and kinds[1] != "Constant"


def _out_of_range(node: ov.Node) -> ov.Node:
    """Return a scalar that is true if an index is below -size, or is the size or more."""
    data, indices = node.input_value(0), node.input_value(1)
    kind = indices.get_element_type()
    sizes = ops.convert(ops.shape_of(data, "i64"), kind.to_string())
    if node.get_type_name() == "GatherND":
        first = int(node.get_attributes()["batch_dims"])
        # The last axis of the indices holds one index for each of these axes of the table.
        each = indices.get_partial_shape()[-1].get_length()
        axes = np.arange(first, first + each)
        size = ops.gather(sizes, ops.constant(axes), ops.constant(0))
    else:
        size = ops.gather(sizes, ops.constant(_axis(node)), ops.constant(0))
    lowest = ops.negative(size)
    bad = ops.logical_or(ops.less(indices, lowest), ops.greater_equal(indices, size))
    if node.get_type_name() != "Gather":
        # One kernel stops the run at such an index, the other reads foreign memory.
        one = ops.constant(1, kind)
        inside = ops.maximum(ops.minimum(indices, ops.subtract(size, one)), lowest)
        node.input(1).replace_source_output(inside.output(0))
    flat = ops.reshape(bad, ops.constant([-1]), special_zero=False)
    return ops.reduce_logical_or(flat, ops.constant(0), keep_dims=False)


def _axis(node: ov.Node) -> int:
    """Return the axis of the table along which the indices look up."""
    if node.get_type_name() == "GatherElements":
        axis = int(node.get_attributes()["axis"])
    else:
        axis = int(node.input_value(2).get_node().data)
    return axis % len(node.get_input_partial_shape(0))
