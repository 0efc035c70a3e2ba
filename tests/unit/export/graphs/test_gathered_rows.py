from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graphs.gathered_rows import gather_before_widening, widen_before_gathering

ROWS = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
SCALES = np.linspace(0.1, 0.6, 6, dtype=np.float32).reshape(6, 1)
INDICES = np.array([[5, 0, 5], [1, 2, 3]])


def lookup(
    *, axis: int = 0, rows: np.ndarray = ROWS, scale: np.ndarray = SCALES, tied: bool = False
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["rows"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["table"]),
        helper.make_node("Gather", ["table", "indices"], ["words"], axis=axis),
        helper.make_node("Neg", ["table"], ["negative"]),
    ][: 4 if tied else 3]
    outputs = [helper.make_tensor_value_info("words", TensorProto.FLOAT, None)]
    if tied:
        outputs.append(helper.make_tensor_value_info("negative", TensorProto.FLOAT, [6, 4]))
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("indices", TensorProto.INT64, [2, "n"])],
        outputs,
        [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(scale, "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(model: ir.Model) -> list[np.ndarray]:
    session = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"indices": INDICES})


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("tied", [False, True])
def test_rows_are_looked_up_before_they_are_widened_and_back(tied):
    model = ir.from_proto(lookup(tied=tied))
    before, original = answers(model), operators(model)
    gather_before_widening(model.graph)
    others = ["Cast", "Mul"] if tied else []
    assert operators(model) == [
        *others, "Gather", "Gather", "Cast", "Mul", *(["Neg"] if tied else []),
    ]  # fmt: skip
    np.testing.assert_array_equal(answers(model)[0], before[0])
    np.testing.assert_array_equal(before[0], (ROWS * SCALES)[INDICES])
    widen_before_gathering(model.graph)
    assert sorted(operators(model)) == sorted([*others, *original])
    for answer, expected in zip(answers(model), before, strict=True):
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"axis": 1, "rows": ROWS[:, :], "scale": SCALES},
        {"rows": ROWS.astype(np.float16)},
        {"scale": np.ones((6, 4), np.float32)},
        {"scale": np.ones(4, np.float32)},
    ],
    ids=["columns", "half precision", "scale per value", "scale per column"],
)
def test_other_lookups_stay_as_they_are(options):
    model = ir.from_proto(lookup(**options))
    before = operators(model)
    gather_before_widening(model.graph)
    widen_before_gathering(model.graph)
    assert operators(model) == before
