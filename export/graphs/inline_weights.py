"""A graph with its weights inside, as plain float32 constants.

Exported graphs read int8 and float16 rows of the checkpoint's weights file and make them
float32 with a Cast and a Mul. ONNX Runtime folds these when it loads a graph; TensorRT wants
one file whose weights already have the type they are multiplied in. Works on any exported
graph, whole or part, without torch and without tracing again.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir.passes import common as passes
from onnxscript import optimizer

from export.graphs.gathered_rows import widen_before_gathering
from omnivec2.errors import ExportError

_NO_LIMIT = 2**31
"""In bytes: the most that a protobuf can hold; no constant here comes near."""


def load_inlined(graph: Path, weights: Path) -> ir.Model:
    """Read a graph and compute everything that depends on constants alone.

    Args:
        graph: An exported ``model.onnx``.
        weights: The ``weights.safetensors`` it refers to; it may be in another directory.

    Returns:
        A model without external data, whose values all have a known dtype and whose nodes
        all have a name.

    Raises:
        ExportError: The graph or its weights cannot be read, or a dtype is unknown.
    """
    try:
        model = ir.load(graph)
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                if tensor.location != weights.name:
                    raise ExportError(f"{graph}: reads {tensor.location}, not {weights.name}")
                value.const_value = _read(tensor, weights)
        widen_before_gathering(model.graph)
        optimizer.fold_constants(
            model,
            onnx_shape_inference=False,
            input_size_limit=_NO_LIMIT,
            output_size_limit=_NO_LIMIT,
        )
    except (OSError, ValueError, DecodeError) as error:
        raise ExportError(f"{graph}: cannot be read: {error}") from error
    ir.passes.Sequential(
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.RemoveUnusedNodesPass(),
        passes.ShapeInferencePass(),
    )(model)
    _settle_cast_like(model)
    for index, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{index}"
        for value in node.outputs:
            if value.dtype is None and value.uses():
                raise ExportError(f"{graph}: {node.name} ({node.op_type}) has no known dtype")
    return model


def _read(tensor: ir.ExternalTensor, weights: Path) -> ir.TensorProtocol:
    """Read a tensor from its range of the weights file.

    onnx_ir refuses a file with several hard links, which ours has once it is served.
    """
    dtype = tensor.dtype.numpy()
    shape = tuple(int(size) for size in tensor.shape.numpy())
    count = math.prod(shape)
    array = np.fromfile(weights, dtype, count, offset=tensor.offset or 0)
    if array.size != count:
        raise ExportError(f"{weights}: ends before the last byte of {tensor.name}")
    return ir.Tensor(array.reshape(shape), name=tensor.name)


def _settle_cast_like(model: ir.Model) -> None:
    """Replace each CastLike by the equivalent Cast, or remove it.

    After a change of precision it would follow whichever type its example then has.
    """
    for node in list(model.graph):
        if node.op_type != "CastLike":
            continue
        source, example = node.inputs
        output = node.outputs[0]
        if source is None or example is None or example.dtype is None:
            raise ExportError(f"{node.name}: CastLike of an unknown dtype")
        if source.dtype == example.dtype and not output.is_graph_output():
            output.replace_all_uses_with(source)
        else:
            cast = ir.node("Cast", [source], {"to": example.dtype}, name=node.name)
            made = cast.outputs[0]
            made.dtype, made.shape = example.dtype, output.shape
            model.graph.insert_before(node, cast)
            output.replace_all_uses_with(made, replace_graph_outputs=True)
            made.name = output.name
        model.graph.remove(node, safe=True)
