"""The effect of half precision on answers, measured without hardware that computes in it.

ONNX Runtime's CPU provider computes half-precision graphs in float32 and drops the rounding
between nodes, so its answers are better than a GPU's. Here every node that computes in a
half type takes float32 and its answer is rounded to that type, which is what matrix units do:
half operands, float32 accumulation, half results.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from export.graphs.inline_weights import load_inlined
from export.precision.half_precision import HALF_TYPES, convert_model
from omnivec2.passport import Precision

_FLOAT = ir.DataType.FLOAT


def rounded_session(graph: Path, weights: Path, precision: Precision) -> ort.InferenceSession:
    """Open a session that rounds as an engine of a precision does, for the parity gate.

    Args:
        graph: An exported ``model.onnx``, of a head or of a part.
        weights: The weights file it refers to.
        precision: The precision; in fp32 the graph is unchanged.

    Raises:
        ExportError: The graph cannot be read or converted.
    """
    model = load_inlined(graph, weights)
    convert_model(model, precision)
    with_explicit_rounding(model)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns that it computes some of the Casts beforehand
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rounded.onnx"
        ir.save(model, path)
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def with_explicit_rounding(model: ir.Model) -> None:
    """Rewrite a half-precision model, in place, so that any CPU rounds as it says.

    Args:
        model: A model from ``export.precision.half_precision.to_half``: dtypes are known.
    """
    half = set(HALF_TYPES.values())
    graph = model.graph
    widened: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        if node.op_type in ("Cast", "Shape", "Size"):
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in half:
                if value not in widened:
                    widened[value] = _cast(graph, value, _FLOAT, before=node)
                node.replace_input_with(index, widened[value])
        for value in node.outputs:
            if value.dtype in half:
                _round(graph, node, value)


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Make a node give float32 under another name, and its rounded value take the name."""
    dtype = value.dtype
    assert dtype is not None
    cast = ir.node("Cast", [value], {"to": dtype})
    rounded = cast.outputs[0]
    value.replace_all_uses_with(rounded, replace_graph_outputs=True)
    cast.replace_input_with(0, value)
    rounded.name, rounded.type, rounded.shape = value.name, ir.TensorType(dtype), value.shape
    value.name, value.dtype = f"{value.name}/exact", _FLOAT
    graph.insert_after(node, cast)


def _cast(graph: ir.Graph, value: ir.Value, dtype: ir.DataType, *, before: ir.Node) -> ir.Value:
    node = ir.node("Cast", [value], {"to": dtype})
    output = node.outputs[0]
    output.name, output.type, output.shape = f"{value.name}/wide", ir.TensorType(dtype), value.shape
    graph.insert_before(before, node)
    return output
