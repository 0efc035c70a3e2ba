"""Make a graph refer to the weights file instead of holding the weights.

A weight stored as float32 becomes an initializer over its bytes; one stored as float16
is followed by a Cast; int8 rows by a Cast and a Mul with their scale. Runtimes fold these
into constants when they load the graph, so nothing is left to compute per request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from export.graphs.joined_attention import JoinedTensor
from export.graphs.weight_ranges import StoredWeights
from omnivec2.checkpoint import SCALE_SUFFIX
from omnivec2.errors import ExportError
from omnivec2.passport import WEIGHTS_FILE

MAX_INLINE_BYTES = 4096
"""The largest float constant in a graph; larger ones must come from the weights file."""
MAX_INLINE_INDEX_BYTES = 65_536
"""The largest integer constant; the exporter derives indices from shapes, as for ``unfold``."""


_NONE_JOINED: Mapping[str, JoinedTensor] = {}


def externalise(
    model: ir.Model, weights: StoredWeights, joined: Mapping[str, JoinedTensor] = _NONE_JOINED
) -> dict[str, int]:
    """Replace every weight of a graph by its bytes in the weights file, in place.

    Args:
        model: The graph, whose initializers are named like the checkpoint's tensors.
        weights: The checkpoint that the traced network was loaded from.
        joined: A map from initializers that are made from several tensors to what makes them.

    Returns:
        A map from stored dtypes to the number of weights that the graph reads in it.

    Raises:
        ExportError: An initializer differs from the tensor of its name, or is a large
            constant that the checkpoint does not hold.
    """
    storage: Counter[str] = Counter()
    graph = model.graph
    loading = _Loading(graph, weights)
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None:
            raise ExportError(f"initializer {name} has no value")
        made = joined.get(name, JoinedTensor((name,), 1.0))
        if not all(part in weights.values for part in made.parts):
            _require_small(name, tensor)
            continue
        array = tensor.numpy()
        expected = made.of(weights.values)
        if array.dtype != expected.dtype or not np.array_equal(array, expected):
            raise ExportError(f"initializer {name} is not the tensor of that name in the weights")
        if array.dtype.kind != "f" and array.nbytes <= MAX_INLINE_BYTES:
            continue  # a small integer may be a shape, which must be readable at once
        for part in made.parts:
            storage[str(weights.stored[part].dtype)] += weights.stored[part].size
        graph.initializers.pop(name)
        value.replace_all_uses_with(loading.load(name, made))
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR:
                _require_small(node.name or node.op_type, attribute.as_tensor())
    if loading.nodes:
        graph.insert_before(graph[0], loading.nodes)
    return dict(sorted(storage.items()))


def _require_small(name: str, tensor: ir.TensorProtocol) -> None:
    limit = MAX_INLINE_BYTES if tensor.dtype.is_floating_point() else MAX_INLINE_INDEX_BYTES
    if tensor.nbytes > limit:
        raise ExportError(
            f"constant {name} {list(tensor.shape.numpy())} of {tensor.nbytes:,} bytes is not in "
            "the checkpoint; make it a parameter or a persistent buffer of the network"
        )


class _Loading:
    """The nodes that make stored weights float when a graph is loaded.

    They have no names: hundreds of them would make up a fifth of the file.
    """

    def __init__(self, graph: ir.Graph, weights: StoredWeights) -> None:
        self.nodes: list[ir.Node] = []
        self._graph, self._weights = graph, weights

    def load(self, name: str, made: JoinedTensor) -> ir.Value:
        """Return a weight as floats, from one stored tensor or from several."""
        kinds = {self._weights.stored[part].dtype for part in made.parts}
        if len(kinds) == 1 and self._weights.scale_name(made.parts[0]) is not None:
            # Joined while they are int8: engines that multiply int8 rows find rows and scales.
            rows = self._join(f"{name}/rows", [self._stored(part) for part in made.parts])
            scales = self._join(f"{name}/scale", self._scales(made))
            cast = self._node("Cast", [rows], f"{name}/Cast", to=ir.DataType.FLOAT)
            return self._node("Mul", [cast, scales], f"{name}/Mul")
        floats = [self._float(part) for part in made.parts]
        return self._join(f"{name}/joined", self._scaled(name, floats, made.factor))

    def _float(self, name: str) -> ir.Value:
        raw = self._stored(name)
        if raw.dtype != ir.DataType.FLOAT:
            raw = self._node("Cast", [raw], f"{name}/Cast", to=ir.DataType.FLOAT)
        if (scale := self._weights.scale_name(name)) is not None:
            raw = self._node("Mul", [raw, self._scale(name, scale)], f"{name}/Mul")
        return raw

    def _scales(self, made: JoinedTensor) -> list[ir.Value]:
        scales = [self._scale(part, f"{part}{SCALE_SUFFIX}") for part in made.parts]
        return self._scaled(f"{made.parts[0]}/scale", scales, made.factor)

    def _scaled(self, name: str, values: list[ir.Value], factor: float) -> list[ir.Value]:
        """Multiply the first of some values by a factor."""
        if factor == 1:
            return values
        constant = _register(self._graph, f"{name}/factor", ir.tensor(np.float32(factor)))
        return [self._node("Mul", [values[0], constant], f"{name}/Mul"), *values[1:]]

    def _join(self, name: str, values: list[ir.Value]) -> ir.Value:
        return values[0] if len(values) == 1 else self._node("Concat", values, name, axis=0)

    def _scale(self, name: str, scale_name: str) -> ir.Value:
        shape = self._weights.stored[name].shape
        return self._stored(scale_name, (shape[0], *(1,) * (len(shape) - 1)))

    def _stored(self, name: str, shape: tuple[int, ...] | None = None) -> ir.Value:
        """Register an initializer over a tensor's bytes in the weights file."""
        where, stored = self._weights.ranges[name], self._weights.stored[name]
        tensor = ir.ExternalTensor(
            WEIGHTS_FILE,
            where.offset,
            where.length,
            ir.DataType.from_numpy(stored.dtype),
            shape=ir.Shape(stored.shape if shape is None else shape),
            name=name,
            base_dir=self._weights.path.parent,
        )
        return _register(self._graph, name, tensor)

    def _node(self, kind: str, inputs: list[ir.Value], name: str, **attributes: int) -> ir.Value:
        node = ir.node(kind, inputs, attributes)
        node.outputs[0].name = name
        self.nodes.append(node)
        return node.outputs[0]


def _register(graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    value = ir.Value(
        name=name,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
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
