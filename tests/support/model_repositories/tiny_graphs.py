"""Tiny graphs, whole and in parts, that answer alike: an affine function of a sum, row by row.

::

    whole    inputs ─ sum ─ Gemm ─► outputs
    parts    inputs ─ sum, copied to tokens of which one is real ─► tokens, mask
             tokens, mask ─ zeros where the mask is off ─► features
             features, mask ─ sum where the mask is on ─ Gemm ─► outputs

A mask that went astray, or padding that counts, would multiply the answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from omnivec2.parts import FEATURES, MASK, TOKENS, TRUNK, PartSpec
from omnivec2.spec import HeadSpec, TensorSpec

SHORTEST = 20
"""Tokens of a tiny tokenizer; one more for every so many along a dynamic axis."""

_TOKENS = TensorSpec(name=TOKENS, dtype="float32", shape=(-1, 1))
_MASK = TensorSpec(name=MASK, dtype="bool", shape=(-1,))
_FEATURES = TensorSpec(name=FEATURES, dtype="float32", shape=(-1, 1))
_F_MEAN = TensorSpec(name="f_mean", dtype="float32", shape=(1,))

_TRUNK_TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
trunk (float[batch, length, 1] tokens, bool[batch, length] mask)
   => (float[batch, length, 1] features)
{
    nothing = Constant<value = float {0.0}>()
    last = Constant<value = int64[1] {2}>()
    real = Unsqueeze(mask, last)
    features = Where(real, tokens, nothing)
}
"""


def tiny_graph(head: HeadSpec, scale: float = 1.0) -> onnx.ModelProto:
    """A head in one piece; ``scale`` multiplies its outputs."""
    nodes, initializers = _column(head.inputs)
    answers, weights = _affine(head, scale)
    return _model(head.name, head.inputs, head.outputs, nodes + answers, initializers + weights)


def tokenizer_part(name: str, head: HeadSpec) -> tuple[PartSpec, onnx.ModelProto]:
    """A tokenizer of the inputs of a head."""
    nodes, initializers = _column(head.inputs)
    first = head.inputs[0]
    initializers += [
        numpy_helper.from_array(np.array([SHORTEST]), "shortest"),
        numpy_helper.from_array(np.array([0]), "zero"),
        numpy_helper.from_array(np.array(0), "start"),
        numpy_helper.from_array(np.array([], np.int64), "scalar"),
    ]
    nodes += [
        helper.make_node("Shape", [first.name], ["rows"], start=0, end=1),
        # An axis of a fixed size gives a fixed number of tokens.
        helper.make_node("Shape", [first.name], ["size"], start=1, end=2),
        helper.make_node("Div", ["size", "shortest"], ["more"]),
        helper.make_node("Add", ["shortest", "more"], ["length"]),
        helper.make_node("Concat", ["rows", "length"], ["mask_shape"], axis=0),
        helper.make_node("Concat", ["mask_shape", "one"], ["tokens_shape"], axis=0),
        helper.make_node("Unsqueeze", ["column", "one"], ["token"]),
        helper.make_node("Expand", ["token", "tokens_shape"], [TOKENS]),
        helper.make_node("Reshape", ["length", "scalar"], ["end"]),
        helper.make_node("Reshape", ["one", "scalar"], ["step"]),
        helper.make_node("Range", ["start", "end", "step"], ["places"]),
        helper.make_node("Equal", ["places", "zero"], ["is_first"]),
        helper.make_node("Expand", ["is_first", "mask_shape"], [MASK]),
    ]
    spec = PartSpec(name=name, kind="tokenizer", inputs=head.inputs, outputs=(_TOKENS, _MASK))
    return spec, _model(name, spec.inputs, spec.outputs, nodes, initializers)


def trunk_part(scale: float = 1.0, *, f_mean: bool = False) -> tuple[PartSpec, onnx.ModelProto]:
    """The trunk; ``scale`` multiplies its features, ``f_mean`` hands out their sum."""
    graph = onnx.parser.parse_model(_TRUNK_TEXT)
    if scale != 1:
        graph.graph.node[-1].output[0] = "unscaled"
        graph.graph.initializer.append(numpy_helper.from_array(np.array(scale, "f4"), "scale"))
        graph.graph.node.append(helper.make_node("Mul", ["unscaled", "scale"], [FEATURES]))
    outputs: tuple[TensorSpec, ...] = (_FEATURES,)
    if f_mean:
        outputs = (_FEATURES, _F_MEAN)
        graph.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis"))
        node = helper.make_node("ReduceSum", [FEATURES, "axis"], [_F_MEAN.name], keepdims=0)
        graph.graph.node.append(node)
        graph.graph.output.append(_value_info(_F_MEAN))
    return PartSpec(name=TRUNK, kind="trunk", inputs=(_TOKENS, _MASK), outputs=outputs), graph


def head_part(head: HeadSpec, scale: float = 1.0) -> tuple[PartSpec, onnx.ModelProto]:
    """What is a head's own; ``scale`` multiplies its outputs."""
    inputs = (_FEATURES, _MASK)
    answers, weights = _affine(head, scale)
    weights += [
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array([2]), "two"),
    ]
    nodes = [
        helper.make_node("Unsqueeze", [MASK, "two"], ["real"]),
        helper.make_node("Cast", ["real"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [FEATURES, "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "one"], ["column"], keepdims=0),
    ]
    spec = PartSpec(name=f"head_{head.name}", kind="head", inputs=inputs, outputs=head.outputs)
    return spec, _model(spec.name, inputs, head.outputs, nodes + answers, weights)


def _column(inputs: Sequence[TensorSpec]) -> tuple[list[NodeProto], list[TensorProto]]:
    """inputs -> mean of each (sum where padding must not count) -> sum, as ``column`` (B, 1)."""
    nodes, initializers, sums = [], [], []
    for tensor in inputs:
        dynamic = -1 in tensor.shape
        number, axes, reduced = (f"{tensor.name}_{part}" for part in ("float", "axes", "reduced"))
        initializers.append(numpy_helper.from_array(np.arange(1, len(tensor.shape) + 1), axes))
        kind = "ReduceSum" if dynamic else "ReduceMean"
        nodes += [
            helper.make_node("Cast", [tensor.name], [number], to=TensorProto.FLOAT),
            helper.make_node(kind, [number, axes], [reduced], keepdims=0),
        ]
        sums.append(reduced)
    initializers.append(numpy_helper.from_array(np.array([1]), "one"))
    nodes.append(helper.make_node("Sum", sums, ["sum"]))
    nodes.append(helper.make_node("Unsqueeze", ["sum", "one"], ["column"]))
    return nodes, initializers


def _affine(head: HeadSpec, scale: float) -> tuple[list[NodeProto], list[TensorProto]]:
    """``column`` -> the head's outputs."""
    nodes, initializers = [], []
    random = np.random.default_rng(0)
    scale *= 1e-5 if any(-1 in tensor.shape for tensor in head.inputs) else 1e-2
    for tensor in head.outputs:
        weight, bias, flat, shape = (
            f"{tensor.name}_{part}" for part in ("weight", "bias", "flat", "shape")
        )
        size = int(np.prod(tensor.shape))
        # Boxes in the middle, so that some of them survive post-processing.
        centre = 0.5 if tensor.name == "boxes" else 0.0
        initializers += [
            numpy_helper.from_array(random.normal(size=(1, size)).astype("f4") * scale, weight),
            numpy_helper.from_array(np.full(size, centre, "f4"), bias),
            numpy_helper.from_array(np.array([-1, *tensor.shape]), shape),
        ]
        nodes += [
            helper.make_node("Gemm", ["column", weight, bias], [flat]),
            helper.make_node("Reshape", [flat, shape], [tensor.name]),
        ]
    return nodes, initializers


def _model(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    nodes: list[NodeProto],
    initializers: list[TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [_value_info(tensor) for tensor in inputs],
        [_value_info(tensor) for tensor in outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    # Axes of the same name have the same size, so each has its own.
    sizes = [f"{tensor.name}_{i}" if n < 0 else n for i, n in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(tensor.name, kind, ["batch", *sizes])
