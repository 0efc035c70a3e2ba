from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from export.graphs.inline_weights import load_inlined
from export.precision.half_precision import convert, require_runnable, to_half
from export.precision.rounding import rounded_session
from omnivec2.errors import ExportError
from tests.support.model_repositories.graphs import session, write_graph

EYE = np.eye(4, dtype=np.float32)

SERIES = """
g (float[batch,4] x) => (float[batch,4] y) {
    level = ReduceMean <keepdims=1> (x, axes)
    centred = Sub (x, level)
    mixed = MatMul (centred, w)
    y = Add (mixed, level)
}
"""
CHAIN = """
g (float[batch,4] x) => (float[batch,4] y) {
    a = MatMul (x, w)
    b = Add (a, small)
    y = MatMul (b, w)
}
"""


def convert_and_load(directory: Path, text: str, precision: str = "fp16", **constants):
    graph, weights = write_graph(directory, text, **constants)
    path = directory / "converted.onnx"
    counts = convert(graph, weights, path, precision)
    return session(path, directory), counts, onnx.load(path)


def test_raw_values_and_answers_keep_float32s_range_and_digits(tmp_path: Path) -> None:
    """Levels beyond fp16's range pass, as does a difference of 1 at a level of 200,000."""
    run, counts, _ = convert_and_load(tmp_path, SERIES, w=EYE, axes=np.array([1]))
    values = np.array([[200_000, 200_001, 200_003, 200_004]], np.float32)
    assert counts == {"FLOAT16": 1}
    np.testing.assert_array_equal(run.run(None, {"x": values})[0], values)


def test_a_sum_over_an_axis_is_float32(tmp_path: Path) -> None:
    text = """
    g (float[batch,4] x) => (float[batch,1] y) {
        a = MatMul (x, w)
        sum = ReduceSum <keepdims=1> (a, axes)
        mean = Div (sum, count)
        y = MatMul (mean, v)
    }
    """
    graph, weights = write_graph(
        tmp_path, text, w=EYE, axes=np.array([1]),
        count=np.array([4], np.float32), v=np.ones((1, 1), np.float32),
    )  # fmt: skip
    model = load_inlined(graph, weights)
    to_half(model, "fp16")
    dtypes = {node.op_type: node.outputs[0].dtype for node in model.graph}
    assert str(dtypes["ReduceSum"]) == "FLOAT"
    assert str(dtypes["Div"]) == "FLOAT16"


def test_the_boundary_keeps_its_names_and_types(tmp_path: Path) -> None:
    text = """
    g (uint8[batch,4] pixels) => (float[batch,4] y) {
        x = Cast <to=1> (pixels)
        y = MatMul (x, w)
    }
    """
    _, _, model = convert_and_load(tmp_path, text, w=EYE)
    (source,), (answer,) = model.graph.input, model.graph.output
    assert (source.name, source.type.tensor_type.elem_type) == ("pixels", onnx.TensorProto.UINT8)
    assert (answer.name, answer.type.tensor_type.elem_type) == ("y", onnx.TensorProto.FLOAT)
    assert answer.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_weights_are_stored_in_the_precision_they_are_used_in(tmp_path: Path) -> None:
    graph, weights = write_graph(tmp_path, CHAIN, w=EYE, small=np.ones(1, np.float32))
    assert convert(graph, weights, tmp_path / "half.onnx", "bf16") == {"BFLOAT16": 2}
    model = onnx.load(tmp_path / "half.onnx", load_external_data=False)
    assert {t.data_type for t in model.graph.initializer} == {onnx.TensorProto.BFLOAT16}
    assert all(not t.external_data for t in model.graph.initializer)


def test_fp32_changes_no_type(tmp_path: Path) -> None:
    run, counts, _ = convert_and_load(tmp_path, CHAIN, "fp32", w=EYE, small=np.ones(1, "f4"))
    assert counts == {"FLOAT": 2}
    assert run.run(None, {"x": np.ones((1, 4), np.float32)})[0].tolist() == [[2, 2, 2, 2]]


def test_a_weight_beyond_fp16_is_refused_and_fits_bf16(tmp_path: Path) -> None:
    graph, weights = write_graph(tmp_path, CHAIN, w=EYE * 1e5, small=np.ones(1, np.float32))
    with pytest.raises(ExportError, match="w holds values beyond fp16's 65504; use bf16"):
        convert(graph, weights, tmp_path / "half.onnx", "fp16")
    assert convert(graph, weights, tmp_path / "half.onnx", "bf16") == {"BFLOAT16": 2}


def test_masks_that_spell_minus_infinity_as_the_lowest_float_are_kept(tmp_path: Path) -> None:
    text = """
    g (float[batch,4] x, bool[batch,4] mask) => (float[batch,4] y) {
        scores = MatMul (x, w)
        masked = Where (mask, scores, lowest)
        weight = Softmax <axis=-1> (masked)
        y = MatMul (weight, w)
    }
    """
    lowest = np.array(np.finfo(np.float32).min)
    run, _, _ = convert_and_load(tmp_path, text, w=EYE, lowest=lowest)
    mask = np.array([[True, True, False, False]])
    answer = run.run(None, {"x": np.zeros((1, 4), np.float32), "mask": mask})[0]
    assert answer.tolist() == [[0.5, 0.5, 0, 0]]


def test_cast_like_follows_its_example_as_it_was(tmp_path: Path) -> None:
    """The example becomes half; what was cast to its type stays raw and keeps its digits."""
    text = """
    g (int32[batch,4] x) => (float[batch,4] y) {
        table = MatMul (w, w)
        like = ReduceMax <keepdims=0> (table)
        number = CastLike (x, like)
        centred = Sub (number, level)
        y = MatMul (centred, w)
    }
    """
    level = np.array([100_000], np.float32)
    run, _, model = convert_and_load(tmp_path, text, w=EYE, level=level)
    assert "CastLike" not in {node.op_type for node in model.graph.node}
    answer = run.run(None, {"x": np.full((1, 4), 100_001, np.int32)})[0]
    assert answer.tolist() == [[1, 1, 1, 1]]


def test_rounding_is_seen_where_the_runtime_would_drop_it(tmp_path: Path) -> None:
    """1 + 2^-12 has no fp16: a GPU answers 1, ONNX Runtime on a CPU the exact sum."""
    small = np.array([2.0**-12], np.float32)
    ones = np.ones((1, 4), np.float32)
    run, _, _ = convert_and_load(tmp_path, CHAIN, w=EYE, small=small)
    exact = run.run(None, {"x": ones})[0]
    rounding = rounded_session(tmp_path / "model.onnx", tmp_path / "weights.safetensors", "fp16")
    rounded = rounding.run(None, {"x": ones})[0]
    assert (exact == 1 + 2.0**-12).all()
    assert (rounded == 1).all()


def test_bf16_is_refused_for_the_runtime_that_lacks_its_kernels(tmp_path: Path) -> None:
    with pytest.raises(NoKernel, match="Could not find an implementation"):
        convert_and_load(tmp_path, CHAIN, "bf16", w=EYE, small=np.ones(1, np.float32))
    with pytest.raises(ExportError, match="ONNX Runtime cannot run bf16"):
        require_runnable("onnx", "bf16")
    require_runnable("onnx", "fp16")
    require_runnable("tensorrt", "bf16")


def test_a_node_with_a_graph_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    text = """
    g (float[batch,4] x, bool on) => (float[batch,4] y) {
        y = If (on) <
            then_branch = yes () => (float[batch,4] a) { a = MatMul (x, w) },
            else_branch = no () => (float[batch,4] b) { b = Identity (x) }
        >
    }
    """
    graph, weights = write_graph(tmp_path, text, w=EYE)
    with pytest.raises(ExportError, match=r"If_0 \(If\): only flat graphs can be fp16"):
        convert(graph, weights, tmp_path / "half.onnx", "fp16")


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match=r"model\.onnx: cannot be read"):
        load_inlined(tmp_path / "model.onnx", tmp_path / "weights.safetensors")


def test_a_graph_of_other_weights_is_refused(tmp_path: Path) -> None:
    graph, _ = write_graph(tmp_path, CHAIN, w=EYE, small=np.ones(1, np.float32))
    model = onnx.load(graph)
    onnx.save(model, graph, save_as_external_data=True, location="other.bin", size_threshold=0)
    with pytest.raises(ExportError, match=r"reads other\.bin, not weights\.safetensors"):
        load_inlined(graph, tmp_path / "weights.safetensors")
