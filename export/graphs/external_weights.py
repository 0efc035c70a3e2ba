"""Make a graph refer to the weights file instead of holding the weights.

A weight stored as float32 becomes an initializer over its bytes; one stored as float16
is followed by a Cast; int8 rows by a Cast and a Mul with their scale. Runtimes fold these
into constants when they load the graph, so nothing is left to compute per request.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from export.graphs.weight_ranges import StoredWeights
from omnivec2.errors import ExportError
from omnivec2.passport import WEIGHTS_FILE

MAX_INLINE_BYTES = 4096
"""The largest float constant in a graph; larger ones must come from the weights file."""
MAX_INLINE_INDEX_BYTES = 65_536
"""The largest integer constant; the exporter derives indices from shapes, as for ``unfold``."""


def externalise(model: ir.Model, weights: StoredWeights) -> dict[str, int]:
    """Replace every weight of a graph by its bytes in the weights file, in place.

    Args:
        model: The graph, whose initializers are named like the checkpoint's tensors.
        weights: The checkpoint that the traced network was loaded from.

    Returns:
        A map from stored dtypes to the number of weights that the graph reads in it.

    Raises:
        ExportError: An initializer differs from the tensor of its name, or is a large
            constant that the checkpoint does not hold.
    """
    storage: Counter[str] = Counter()
    graph = model.graph
    dequantising: list[ir.Node] = []
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None:
            raise ExportError(f"initializer {name} has no value")
        if name not in weights.values:
            _require_small(name, tensor)
            continue
        array = tensor.numpy()
        expected = weights.values[name]
        if array.dtype != expected.dtype or not np.array_equal(array, expected):
            raise ExportError(f"initializer {name} is not the tensor of that name in the weights")
        if array.dtype.kind != "f" and array.nbytes <= MAX_INLINE_BYTES:
            continue  # a small integer may be a shape, which must be readable at once
        storage[str(weights.stored[name].dtype)] += array.size
        dequantising += _replace(graph, value, weights)
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR:
                _require_small(node.name or node.op_type, attribute.as_tensor())
    if dequantising:
        graph.insert_before(graph[0], dequantising)
    return dict(sorted(storage.items()))


def _require_small(name: str, tensor: ir.TensorProtocol) -> None:
    limit = MAX_INLINE_BYTES if tensor.dtype.is_floating_point() else MAX_INLINE_INDEX_BYTES
    if tensor.nbytes > limit:
        raise ExportError(
            f"constant {name} {list(tensor.shape.numpy())} of {tensor.nbytes:,} bytes is not in "
            "the checkpoint; make it a parameter or a persistent buffer of the network"
        )


def _replace(graph: ir.Graph, value: ir.Value, weights: StoredWeights) -> list[ir.Node]:
    """Replace an initializer by a stored weight, and return the nodes that make it float."""
    name, shape = str(value.name), tuple(weights.stored[str(value.name)].shape)
    graph.initializers.pop(name)
    raw = _initializer(graph, name, shape, weights)
    if raw.dtype == value.dtype:
        value.replace_all_uses_with(raw)
        return []
    # The nodes have no names: hundreds of them would make up a fifth of the file.
    cast = ir.node("Cast", [raw], {"to": ir.DataType.FLOAT})
    nodes = [cast]
    scale_name = weights.scale_name(name)
    if scale_name is not None:
        rows = (shape[0], *(1,) * (len(shape) - 1))
        scale = _initializer(graph, scale_name, rows, weights)
        nodes.append(ir.node("Mul", [cast.outputs[0], scale]))
    result = nodes[-1].outputs[0]
    value.replace_all_uses_with(result)
    for node in nodes:
        node.outputs[0].name = f"{name}/{node.op_type}"
    return nodes


def _initializer(
    graph: ir.Graph, name: str, shape: tuple[int, ...], weights: StoredWeights
) -> ir.Value:
    """Register an initializer over a tensor's bytes in the weights file."""
    where = weights.ranges[name]
    tensor = ir.ExternalTensor(
        WEIGHTS_FILE,
        where.offset,
        where.length,
        ir.DataType.from_numpy(weights.stored[name].dtype),
        shape=ir.Shape(shape),
        name=name,
        base_dir=weights.path.parent,
    )
    value = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def check_folded(optimised: Path) -> None:
    """Check that a runtime turned all stored weights into plain float constants.

    Args:
        optimised: The graph that ONNX Runtime wrote after its optimisations.

    Raises:
        ExportError: A weight is still cast, or multiplied by its scale, on every request.
    """
    graph = onnx.load(optimised, load_external_data=False).graph
    narrow = {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16}
    left = {tensor.name for tensor in graph.initializer if tensor.data_type in narrow}
    for node in graph.node:
        # Tables are looked up as they are stored.
        if node.op_type != "Gather" and left & set(node.input):
            raise ExportError(f"ONNX Runtime left {node.op_type} of {node.input[0]} in the graph")
