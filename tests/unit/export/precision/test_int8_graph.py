"""Graphs over a weights file with int8 rows, quantised and run."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graphs.external_weights import externalise
from export.graphs.weight_ranges import StoredWeights
from export.precision.activation_ranges import ActivationRange
from export.precision.int8_graph import int8_layers, quantise
from omnivec2.checkpoint import write_checkpoint
from omnivec2.errors import ExportError

RNG = np.random.default_rng(0)
WIDTH, HIDDEN = 64, 256
OUTLIER = 11
UP = RNG.normal(size=(HIDDEN, WIDTH)).astype(np.float32)
DOWN = RNG.normal(size=(WIDTH, HIDDEN)).astype(np.float32)
UP_BIAS = RNG.normal(size=HIDDEN).astype(np.float32)
X = RNG.normal(size=(3, 5, WIDTH)).astype(np.float32)
X[0, 0, OUTLIER] = 60.0
RANGES = {"up": ActivationRange(largest=60.0), "down": ActivationRange(largest=250.0)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> StoredWeights:
    tensors = {"up.weight": UP, "down.weight": DOWN, "up.bias": UP_BIAS}
    directory = tmp_path_factory.mktemp("int8") / "c"
    write_checkpoint(directory, config={}, tensors=tensors, heads=[])
    return StoredWeights(directory)


@pytest.fixture
def model(weights: StoredWeights) -> ir.Model:
    """y = relu(x @ up.T + bias) @ down.T, as the exporter writes it."""
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["up.weight"], ["a"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "a"], ["b"]),
            helper.make_node("Add", ["b", "up.bias"], ["c"]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("Transpose", ["down.weight"], ["e"], perm=[1, 0]),
            helper.make_node("MatMul", ["d", "e"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "length", WIDTH])],
        [numpy_helper.from_array(np.array(weights.values[n]), n) for n in weights.values],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    externalise(model, weights)
    return model


def run(model: ir.Model, weights: StoredWeights, x: np.ndarray = X) -> np.ndarray:
    path = weights.path.with_name("model.onnx")
    ir.save(model, path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def exact(weights: StoredWeights, x: np.ndarray = X) -> np.ndarray:
    v = weights.values
    hidden = np.maximum(x @ v["up.weight"].T + v["up.bias"], 0)
    return np.asarray(hidden @ v["down.weight"].T)


def error(answer: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(answer - wanted).mean() / np.abs(wanted).mean())


def kinds(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_the_layers_of_a_graph_are_found_under_the_names_of_their_weights(model: ir.Model) -> None:
    layers = int8_layers(model.graph)
    assert list(layers) == ["up", "down"]
    assert layers["up"].rows.name == "up.weight"
    assert layers["up"].bias is not None
    assert layers["down"].bias is None


def test_the_stored_rows_are_read_as_they_are(model: ir.Model, weights: StoredWeights) -> None:
    quantise(model, RANGES)
    nodes = [n for n in model.graph if n.op_type == "DequantizeLinear" and n.inputs[0]]
    read = {str(node.inputs[0].name) for node in nodes if node.inputs[0]}
    assert {"up.weight", "down.weight"} <= read
    assert kinds(model).count("QuantizeLinear") == 2
    outside = [t for t in ir.to_proto(model).graph.initializer if t.external_data]
    assert {t.name for t in outside} >= {"up.weight", "up.weight.scale"}
    assert sum(t.ByteSize() for t in ir.to_proto(model).graph.initializer) < 4000


def test_an_int8_graph_answers_nearly_like_the_float_one(
    model: ir.Model, weights: StoredWeights
) -> None:
    x = np.clip(X, -4, 4)
    quantise(model, {"up": ActivationRange(largest=4.0), "down": ActivationRange(largest=45.0)})
    assert 1e-4 < error(run(model, weights, x), exact(weights, x)) < 0.02


def test_splitting_an_outlier_makes_the_answers_of_all_others_finer(
    model: ir.Model, weights: StoredWeights
) -> None:
    whole = ir.from_proto(ir.to_proto(model))
    for value in whole.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = model.graph.initializers[str(value.name)].const_value
    quantise(whole, RANGES)
    split = {"up": ActivationRange(largest=4.0, split={OUTLIER: 15}), "down": RANGES["down"]}
    quantise(model, split)
    wanted = exact(weights)
    assert error(run(model, weights), wanted) < 0.6 * error(run(whole, weights), wanted)


def test_the_parts_of_a_channel_are_computed_by_the_layer_before(
    model: ir.Model, weights: StoredWeights
) -> None:
    quantise(model, {"down": ActivationRange(largest=45.0, split={3: 4, 200: 2})}, kept={"up"})
    activations = [
        node for node in model.graph if node.op_type == "Gather" and node.inputs[0].dtype is None
    ]
    assert all("axis" in node.attributes for node in activations)
    # Rows, scales and bias of the layer before, columns of its own; nothing at run time.
    assert kinds(model).count("Gather") == 4
    x = np.clip(X, -4, 4)
    assert error(run(model, weights, x), exact(weights, x)) < 0.03


def test_a_layer_that_is_kept_multiplies_floats(model: ir.Model, weights: StoredWeights) -> None:
    quantise(model, {}, kept={"up", "down"})
    assert "QuantizeLinear" not in kinds(model)
    assert error(run(model, weights), exact(weights)) < 1e-5


def test_a_layer_without_a_range_is_refused_by_name(model: ir.Model) -> None:
    with pytest.raises(ExportError, match="no range was measured for up"):
        quantise(model, {"down": RANGES["down"]})
