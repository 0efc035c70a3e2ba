from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graphs.external_weights import check_folded, externalise
from export.graphs.weight_ranges import StoredWeights
from omnivec2.checkpoint import write_checkpoint
from omnivec2.errors import CheckpointError, ExportError

RNG = np.random.default_rng(0)
BIG = RNG.normal(size=(128, 130)).astype(np.float32)
SMALL = RNG.normal(size=(130, 2)).astype(np.float32)
WIDE = np.array([1.0, 1e30], np.float32)


@pytest.fixture
def weights(tmp_path: Path) -> StoredWeights:
    tensors = {"big": BIG, "small": SMALL, "wide": WIDE, "shape": np.array([-1, 2])}
    write_checkpoint(tmp_path / "c", config={}, tensors=tensors, heads=[])
    return StoredWeights(tmp_path / "c")


def make_model(**initializers: np.ndarray) -> ir.Model:
    """y = (x @ big @ small) * wide, with more initializers on the side."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "big"], ["a"]),
            helper.make_node("MatMul", ["a", "small"], ["b"]),
            helper.make_node("Mul", ["b", "wide"], ["c"]),
            helper.make_node("Reshape", ["c", "shape"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))


def loaded(weights: StoredWeights, **changes: np.ndarray) -> ir.Model:
    return make_model(**({k: np.array(v) for k, v in weights.values.items()} | changes))


def test_each_kind_of_storage_gets_the_nodes_that_undo_it(weights: StoredWeights) -> None:
    model = loaded(weights)
    assert externalise(model, weights) == {"float16": 260, "float32": 2, "int8": 128 * 130}
    kinds = [node.op_type for node in model.graph]
    assert sorted(kinds[:3]) == ["Cast", "Cast", "Mul"]
    assert kinds[3:] == ["MatMul", "MatMul", "Mul", "Reshape"]
    graph = ir.to_proto(model).graph
    inline = [t.name for t in graph.initializer if not t.external_data]
    assert inline == ["shape"]


def test_a_graph_over_the_shared_file_computes_with_the_restored_weights(
    weights: StoredWeights,
) -> None:
    model = loaded(weights)
    externalise(model, weights)
    path = weights.path.with_name("model.onnx")
    ir.save(model, path)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path.with_name("optimised.onnx"))
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    check_folded(path.with_name("optimised.onnx"))
    x = RNG.normal(size=(5, 128)).astype(np.float32)
    v = weights.values
    expected = x @ v["big"] @ v["small"] * v["wide"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4)


def test_an_initializer_that_is_not_its_namesake_is_refused(weights: StoredWeights) -> None:
    with pytest.raises(ExportError, match="initializer big is not"):
        externalise(loaded(weights, big=weights.values["big"].T.copy()), weights)


def test_a_large_constant_the_checkpoint_lacks_is_refused_by_name(weights: StoredWeights) -> None:
    table = np.ones((40, 40), np.float32)
    with pytest.raises(ExportError, match=r"constant table \[40, 40\] of 6,400 bytes"):
        externalise(loaded(weights, table=table), weights)


def test_small_constants_and_derived_indices_stay_inline(weights: StoredWeights) -> None:
    model = loaded(weights, half=np.float32([0.5]), unfold=np.arange(672).reshape(42, 16))
    externalise(model, weights)
    inline = {t.name for t in ir.to_proto(model).graph.initializer if not t.external_data}
    assert inline == {"shape", "half", "unfold"}


def test_a_weight_that_stays_narrow_in_the_runtime_is_found(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.ones(2, np.int8), "w")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "optimised.onnx")
    with pytest.raises(ExportError, match="left Cast of w"):
        check_folded(tmp_path / "optimised.onnx")


def test_offsets_that_do_not_lead_to_the_tensors_are_refused(
    weights: StoredWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = dict(weights.ranges, small=weights.ranges["wide"])
    monkeypatch.setattr("export.graphs.weight_ranges.read_ranges", lambda path: moved)
    with pytest.raises(CheckpointError, match="bytes of small"):
        StoredWeights(weights.path.parent)
