"""Graphs that compute in half precision behind an unchanged float32 boundary.

TensorRT 11 knows only strongly typed networks: it computes each value in the type the graph
gives it. So the graph itself is rewritten, not traced again: that is exact about which
node computes in what, takes a fraction of a second, and works for any exported graph.

What stays in float32, and why:

- everything computed from the inputs before the first matrix product. Raw sensor values
  (series at any level, millimetres, spectra) would lose their digits, or overflow, before
  they are normalised. Masks and what is computed from them are here too, and the convolutional
  stems: nothing normalises between their layers, and over the reference heads they make
  most of fp16's error (on real images, of the largest logit: segmentation 0.08 with a half
  stem and 0.01 without, X-ray 0.016 and 0.005) for a small part of the work;
- everything after the last product: undoing a normalisation, adding a location, pooling an
  embedding, so that answers keep float32's digits and range;
- sums and means over an axis, whose error would grow with its length.

LayerNormalization stays half: its statistics are float32 by ONNX's ``stash_type``. Softmax
subtracts the largest score first. Products accumulate in float32 on GPUs and here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from export.graphs.inline_weights import load_inlined
from omnivec2.errors import ExportError
from omnivec2.passport import Engine, Precision

HalfPrecision = Literal["fp16", "bf16"]

HALF_TYPES: dict[HalfPrecision, ir.DataType] = {
    "fp16": ir.DataType.FLOAT16,
    "bf16": ir.DataType.BFLOAT16,
}
PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "Attention"})
"""The operators that multiply a tensor by weights or another tensor; nearly all time goes there."""
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})

_FLOAT32_OPS = frozenset(
    {"ReduceSum", "ReduceMean", "ReduceL2", "ReduceSumSquare", "ReduceProd", "CumSum"}
    # These are float32 in some inputs by ONNX's definition, or in their output by an attribute:
    | {"Resize", "Range", "NonMaxSuppression", "ConstantOfShape", "EyeLike"}
)
_SHAPE_OPS = frozenset({"Shape", "Size"})
_FLOAT = ir.DataType.FLOAT


def require_runnable(engine: Engine, precision: Precision) -> None:
    """Check that an engine runs graphs of a precision.

    Raises:
        ExportError: ONNX Runtime has no bf16 kernels for most operators (on a CPU not even Add).
    """
    if engine == "onnx" and precision == "bf16":
        raise ExportError(
            "ONNX Runtime cannot run bf16 graphs: export in fp16, or with TensorRT as the engine"
        )


def convert(graph: Path, weights: Path, path: Path, precision: Precision) -> dict[str, int]:
    """Write a self-contained graph that computes in a precision.

    Args:
        graph: An exported ``model.onnx``, of a head or of a part.
        weights: The weights file it refers to.
        path: The file to write; it refers to no other file.
        precision: The precision to compute in; inputs and outputs keep their types.

    Returns:
        A map from dtypes to the number of products (matrix products, convolutions) in it.

    Raises:
        ExportError: The graph cannot be read, or a weight is beyond the type's range.
    """
    model = load_inlined(graph, weights)
    convert_model(model, precision)
    ir.save(model, path)
    return count_products(model)


def convert_model(model: ir.Model, precision: Precision) -> None:
    """Make a model, as ``load_inlined`` gives it, compute in a precision, in place.

    Raises:
        ExportError: see ``to_half``.
    """
    if precision != "fp32":
        to_half(model, precision)


def to_half(model: ir.Model, precision: HalfPrecision) -> None:
    """Rewrite a model in place; see this module's docstring for what stays float32.

    Args:
        model: A model from ``load_inlined``: dtypes are known, constants computed.
        precision: The precision that the rest computes in.

    Raises:
        ExportError: A weight is beyond the range of fp16, or a node holds a graph of its own.
    """
    for node in model.graph:
        if any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
            raise ExportError(f"{node.name} ({node.op_type}): only flat graphs can be {precision}")
    exact = float32_nodes(model.graph)
    rewriter = _Rewriter(model.graph, HALF_TYPES[precision])
    for node in list(model.graph):
        if node.op_type not in _SHAPE_OPS:
            rewriter.rewrite(node, _FLOAT if node in exact else rewriter.half)
    rewriter.restore_outputs()
    passes.RemoveUnusedNodesPass()(model)


def float32_nodes(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes that stay float32: before the first matrix, after the last product, sums."""
    raw: set[ir.Node] = set()
    for node in graph:
        if (node.op_type in _CONVOLUTIONS or not _meets_weights(node)) and all(
            value.is_graph_input() or value.producer() in raw for value in _computed(node)
        ):
            raw.add(node)
    final: set[ir.Node] = set()
    for node in reversed(graph):
        consumers = list(_consumers(node))
        if not _meets_weights(node) and all(consumer in final for consumer in consumers):
            final.add(node)
        # What depends on weights alone follows its consumers: rounding would be in vain.
        if node in raw and not _depends_on_inputs(node) and consumers:
            kept = all(consumer in raw | final for consumer in consumers)
            raw -= set() if kept else {node}
    return raw | final | {node for node in graph if node.op_type in _FLOAT32_OPS}


def count_products(model: ir.Model) -> dict[str, int]:
    """Count the products that compute in each dtype."""
    counts: dict[str, int] = {}
    for node in model.graph:
        dtype = node.inputs[0].dtype if node.op_type in PRODUCTS and node.inputs[0] else None
        if dtype is not None:
            counts[dtype.name] = counts.get(dtype.name, 0) + 1
    return counts


def _meets_weights(node: ir.Node) -> bool:
    """Whether a node is a product, or looks rows up in a float table of weights."""
    if node.op_type == "Gather":
        table = node.inputs[0]
        return table is not None and table.const_value is not None and table.dtype == _FLOAT
    return node.op_type in PRODUCTS


def _computed(node: ir.Node) -> Iterable[ir.Value]:
    """Yield the float32 and boolean inputs of a node that are not constants."""
    for value in node.inputs:
        if value is None or value.const_value is not None:
            continue
        if value.dtype in (_FLOAT, ir.DataType.BOOL) or value.is_graph_input():
            yield value


def _depends_on_inputs(node: ir.Node) -> bool:
    return any(True for _ in _computed(node)) or node.op_type == "Cast"


def _consumers(node: ir.Node) -> Iterable[ir.Node]:
    for value in node.outputs:
        yield from (use.node for use in value.uses() if use.node.op_type not in _SHAPE_OPS)


@dataclass
class _Rewriter:
    """Gives values their type, with one Cast per value and type between two types."""

    graph: ir.Graph
    half: ir.DataType
    casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = field(default_factory=dict)

    def rewrite(self, node: ir.Node, dtype: ir.DataType) -> None:
        """Set the type of a node's float inputs and float outputs."""
        floats = {_FLOAT, self.half}
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in floats and value.dtype != dtype:
                node.replace_input_with(index, self.as_type(value, dtype, node))
        for value in node.outputs:
            if value.dtype == _FLOAT:
                value.dtype = dtype
        to = node.attributes.get("to")
        if node.op_type == "Cast" and to is not None and to.as_int() == _FLOAT:
            node.attributes["to"] = ir.AttrInt64("to", int(dtype))

    def as_type(self, value: ir.Value, dtype: ir.DataType, before: ir.Node) -> ir.Value:
        """Return the same value in another type; a constant is converted, others are cast."""
        key = (value, dtype)
        if key not in self.casts:
            if value.const_value is not None:
                self.casts[key] = self._constant(value, dtype)
            else:
                self.casts[key] = self._cast(value, dtype, before)
        return self.casts[key]

    def restore_outputs(self) -> None:
        """Cast the graph's outputs to float32, under their names."""
        for index, value in enumerate(self.graph.outputs):
            if value.dtype != self.half:
                continue
            name = str(value.name)
            value.name = f"{name}/half"
            cast = ir.node("Cast", [value], {"to": _FLOAT}, name=f"{name}/Cast")
            self.graph.append(cast)
            output = cast.outputs[0]
            output.name, output.type, output.shape = name, ir.TensorType(_FLOAT), value.shape
            self.graph.outputs[index] = output

    def _cast(self, value: ir.Value, dtype: ir.DataType, before: ir.Node) -> ir.Value:
        node = ir.node("Cast", [value], {"to": dtype}, name=f"{value.name}/Cast")
        output = node.outputs[0]
        output.name, output.type = f"{value.name}/{dtype.name}", ir.TensorType(dtype)
        output.shape = value.shape
        self.graph.insert_before(before, node)
        return output

    def _constant(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        tensor = value.const_value
        assert tensor is not None
        array = tensor.numpy()
        if dtype == ir.DataType.FLOAT16:
            limit = np.finfo(np.float16).max
            # The lowest float32 is how some masks spell minus infinity.
            lost = np.abs(array[np.isfinite(array) & (array > np.finfo(np.float32).min)]) > limit
            if lost.any():
                raise ExportError(f"{value.name} holds values beyond fp16's {limit:g}; use bf16")
        with np.errstate(over="ignore"):
            array = array.astype(dtype.numpy())
        name = f"{value.name}/{dtype.name}"
        made = ir.Value(
            name=name,
            shape=value.shape,
            type=ir.TensorType(dtype),
            const_value=ir.Tensor(array, dtype=dtype, name=name),
        )
        self.graph.register_initializer(made)
        return made
