"""Integers as TensorRT takes them: 8 bits only in inputs, 16 bits never."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec, TensorSpec

_NARROW = frozenset({ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.INT16})
_INT32 = ir.DataType.INT32


def plan_spec(head: HeadSpec) -> HeadSpec:
    """Return the head spec of a plan, whose inputs of 16-bit integers are int32."""
    return head.model_copy(update={"inputs": tuple(plan_tensor(t) for t in head.inputs)})


def plan_tensor(tensor: TensorSpec) -> TensorSpec:
    """Return one input as a plan takes it; the values are the same."""
    if tensor.dtype in ("uint16", "int16"):
        return tensor.model_copy(update={"dtype": "int32"})
    return tensor


def widen_integers(model: ir.Model) -> None:
    """Make every narrow integer inside a graph int32, in place.

    TensorRT takes uint8 as an input whose only use is a Cast, which is put there; it has no
    16-bit integers at all, so such inputs become int32 themselves (see ``plan_spec``).

    Args:
        model: A model from ``load_inlined``: dtypes are known.

    Raises:
        ExportError: A node casts to a narrow integer, which would wrap around unlike int32.
    """
    graph = model.graph
    for node in graph:
        to = node.attributes.get("to")
        if node.op_type == "Cast" and to is not None and ir.DataType(to.as_int()) in _NARROW:
            raise ExportError(f"{node.name}: TensorRT cannot cast to {ir.DataType(to.as_int())}")
        for value in node.outputs:
            if value.dtype in _NARROW:
                value.dtype = _INT32
    for value in list(graph.initializers.values()):
        if value.dtype in _NARROW and value.const_value is not None:
            array = value.const_value.numpy().astype(np.int32)
            value.const_value = ir.Tensor(array, dtype=_INT32, name=value.name)
            value.dtype = _INT32
    for value in graph.inputs:
        if value.dtype in _NARROW - {ir.DataType.UINT8}:
            value.dtype = _INT32
        elif value.dtype == ir.DataType.UINT8 and value.uses():
            _cast_input(graph, value)


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    cast = ir.node("Cast", [value], {"to": _INT32}, name=f"{value.name}/Cast")
    wide = cast.outputs[0]
    value.replace_all_uses_with(wide)
    cast.replace_input_with(0, value)
    wide.name, wide.type, wide.shape = f"{value.name}/INT32", ir.TensorType(_INT32), value.shape
    graph.insert_before(graph[0], cast)
