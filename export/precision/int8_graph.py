"""The int8 graph of a model: layers whose weights are stored as int8 rows multiply in int8.

Post-training static quantisation, written as QuantizeLinear and DequantizeLinear (QDQ)::

    x -> [copies of large channels] -> QuantizeLinear -> DequantizeLinear -.
    rows (int8, outputs x inputs) -> DequantizeLinear -> Transpose -----> MatMul -> + bias

The weights are the stored rows themselves: nothing is requantised, and the weights file is the
same. Activations have one scale per tensor and no zero point: TensorRT demands it, and OpenVINO
multiplies in int8 only so. DequantizeLinear follows the rows at once: with the Transpose
first, OpenVINO multiplies floats. Parts of large channels (``export.precision.activation_ranges``)
are computed by the layer before where only GELU or ReLU is between, by copies of its rows; after a
norm they are copied. Attention's own products, norms and activation functions stay float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from export.precision.activation_ranges import ActivationRange
from omnivec2.arrays import Array
from omnivec2.errors import ExportError

_CHANNELWISE = frozenset({"Add", "Gelu", "Relu"})
LARGEST = 127
"""The largest int8 value that is used; -128 is not, so that the range is symmetric."""


@dataclass(frozen=True)
class Int8Layer:
    """A matrix product with stored int8 rows: ``x @ Transpose(Mul(Cast(rows), scales))``.

    Attributes:
        product: The MatMul.
        scaling: The Mul with the rows' scales.
        cast: The Cast of the rows.
    """

    product: ir.Node
    scaling: ir.Node
    cast: ir.Node

    @property
    def input(self) -> ir.Value:
        """The activations that are multiplied."""
        return _input(self.product, 0)

    @property
    def rows(self) -> ir.Value:
        """The stored rows, int8, (outputs, inputs)."""
        return _input(self.cast, 0)

    @property
    def scales(self) -> ir.Value:
        """The scale of every row, (outputs, 1)."""
        return _input(self.scaling, 1)

    @property
    def name(self) -> str:
        """The name of its weight without the last part; of joined maps, the first."""
        joined = self.rows.producer()
        weight = self.rows if joined is None else _input(joined, 0)
        return str(weight.name).rpartition(".")[0]

    @property
    def bias(self) -> ir.Node | None:
        """The Add of its bias, if that is all that its product is used for."""
        uses = list(self.product.outputs[0].uses())
        return uses[0].node if len(uses) == 1 and uses[0].node.op_type == "Add" else None


def int8_layers(graph: ir.Graph) -> dict[str, Int8Layer]:
    """Return the matrix products of a graph whose weights are stored as int8 rows, by name."""
    found = [layer for node in graph if (layer := _layer(node)) is not None]
    return {layer.name: layer for layer in found}


def _layer(product: ir.Node) -> Int8Layer | None:
    nodes = [product]
    for kind, index in (("MatMul", 1), ("Transpose", 0), ("Mul", 0), ("Cast", 0)):
        if nodes[-1].op_type != kind:
            return None
        producer = _input(nodes[-1], index).producer()
        if kind != "Cast":
            if producer is None:
                return None
            nodes.append(producer)
    return Int8Layer(nodes[0], nodes[2], nodes[3])


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None, f"{node.op_type} has no input {index}"
    return value


def quantise(
    model: ir.Model, ranges: Mapping[str, ActivationRange], kept: Collection[str] = ()
) -> None:
    """Make layers of a model multiply in int8, in place.

    Args:
        model: A model as the exporter wrote it.
        ranges: A map from layers to the ranges of their inputs.
        kept: The layers that stay float.

    Raises:
        ExportError: A layer has no range.
    """
    layers = int8_layers(model.graph)
    if missing := sorted(layers.keys() - ranges.keys() - set(kept)):
        raise ExportError(f"no range was measured for {missing[0]} ({len(missing)} layers)")
    # From the last to the first: a layer's copies are made by the layer that computes them.
    for name in reversed(layers):
        if name not in kept:
            _Rewriter(model.graph, name, layers).quantise(ranges[name])
    passes.RemoveUnusedNodesPass()(model)


class _Rewriter:
    """Replaces one product of a graph by that of int8 numbers."""

    def __init__(self, graph: ir.Graph, name: str, layers: Mapping[str, Int8Layer]) -> None:
        self._graph, self._name = graph, name
        self._layer = layers[name]
        self._of_product = {layer.product: layer for layer in layers.values()}
        self._count = 0

    def quantise(self, measured: ActivationRange) -> None:
        """Replace the product."""
        layer = self._layer
        x, rows, product = layer.input, layer.rows, layer.product
        if measured.split:
            width = _width(rows)
            columns = self._constant(np.array(measured.columns(width), np.int32))
            shares = self._constant(np.array(measured.shares(width), np.float32))
            x = self._node(product, "Mul", [self._copies(x, columns), shares])
            rows = self._node(product, "Gather", [rows, columns], axis=1)
        scales = self._node(product, "Squeeze", [layer.scales, self._axis(1)])
        step = self._constant(np.float32(measured.largest / LARGEST))
        zero = self._constant(np.int8(0))
        for kind in ("QuantizeLinear", "DequantizeLinear"):
            x = self._node(product, kind, [x, step, zero])
        weight = self._node(product, "DequantizeLinear", [rows, scales], axis=0)
        product.replace_input_with(0, x)
        product.replace_input_with(1, self._node(product, "Transpose", [weight], perm=[1, 0]))

    def _copies(self, x: ir.Value, columns: ir.Value) -> ir.Value:
        """Return some channels of activations, from the layer that computes them if one does."""
        source = self._source_of(x)
        if source is None or source.bias is None:
            return self._node(self._layer.product, "Gather", [x, columns], axis=-1)
        for user, index in ((source.cast, 0), (source.scaling, 1), (source.bias, 1)):
            gathered = self._node(user, "Gather", [_input(user, index), columns], axis=0)
            user.replace_input_with(index, gathered)
        return x

    def _source_of(self, x: ir.Value) -> Int8Layer | None:
        """Return the layer whose outputs, channel by channel and for no one else, become x."""
        while (node := x.producer()) is not None and len(list(x.uses())) == 1:
            if (layer := self._of_product.get(node)) is not None:
                return layer
            if node.op_type not in _CHANNELWISE:
                return None
            x = _input(node, 0)
        return None

    def _axis(self, axis: int) -> ir.Value:
        return self._constant(np.array([axis], np.int64))

    def _node(
        self, before: ir.Node, kind: str, inputs: list[ir.Value], **attributes: int | list[int]
    ) -> ir.Value:
        node = ir.node(kind, inputs, attributes)
        node.outputs[0].name = self._new_name()
        self._graph.insert_before(before, node)
        return node.outputs[0]

    def _constant(self, array: Array | np.generic) -> ir.Value:
        name = self._new_name()
        tensor = ir.Tensor(np.asarray(array), name=name)
        value = ir.Value(
            name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self._graph.register_initializer(value)
        return value

    def _new_name(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"


def _width(rows: ir.Value) -> int:
    """Return the number of inputs of stored rows, which may be joined or chosen already."""
    while (producer := rows.producer()) is not None:
        rows = _input(producer, 0)
    assert rows.const_value is not None
    return int(rows.const_value.shape.numpy()[1])
