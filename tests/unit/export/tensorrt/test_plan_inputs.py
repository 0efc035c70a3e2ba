from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from export.graphs.inline_weights import load_inlined
from export.tensorrt.plan_inputs import plan_spec, widen_integers
from omnivec2.errors import ExportError
from omnivec2.spec import TensorSpec
from tests.support.model_repositories.graphs import session, write_graph
from tests.unit.export.tensorrt.test_optimization_profiles import make_head

MASKED = """
g (uint16[batch,4] depth, uint8[batch,4] mask) => (float[batch,4] y) {
    both = Concat <axis=1> (mask, mask)
    on = Greater (both, zero)
    first, second = Split <axis=1, num_outputs=2> (on)
    seen = Cast <to=1> (first)
    millimetres = Cast <to=1> (depth)
    y = Mul (millimetres, seen)
}
"""


def test_narrow_integers_are_int32_inside_and_the_answer_is_the_same(tmp_path: Path) -> None:
    graph, weights = write_graph(tmp_path, MASKED, zero=np.array([0], np.uint8))
    model = load_inlined(graph, weights)
    widen_integers(model)
    assert [str(value.dtype) for value in model.graph.inputs] == ["INT32", "UINT8"]
    users = {use.node.op_type for use in model.graph.inputs[1].uses()}
    assert users == {"Cast"}
    narrow = {ir.DataType.UINT8, ir.DataType.UINT16}
    assert not narrow & {value.dtype for node in model.graph for value in node.outputs}
    inputs = {
        "depth": np.array([[1, 2, 60_000, 4]], np.int32),
        "mask": np.array([[1, 0, 1, 0]], np.uint8),
    }
    answer = session(model, tmp_path).run(None, inputs)[0]
    assert answer.tolist() == [[1, 0, 60_000, 0]]


def test_a_cast_to_a_narrow_integer_is_refused_by_name(tmp_path: Path) -> None:
    text = """
    g (float[batch,4] x) => (float[batch,4] y) {
        small = Cast <to=2> (x)
        y = Cast <to=1> (small)
    }
    """
    graph, weights = write_graph(tmp_path, text)
    with pytest.raises(ExportError, match=r"Cast_0: TensorRT cannot cast to UINT8"):
        widen_integers(load_inlined(graph, weights))


def test_a_plans_spec_says_what_the_plan_takes() -> None:
    tensors = tuple(
        TensorSpec.model_validate({"name": name, "dtype": name, "shape": (4,)})
        for name in ("uint16", "int16", "uint8", "float32")
    )
    head = make_head("depth", {}).model_copy(update={"inputs": tensors})
    assert [tensor.dtype for tensor in plan_spec(head).inputs] == [
        "int32", "int32", "uint8", "float32",
    ]  # fmt: skip
    assert [tensor.name for tensor in plan_spec(head).inputs] == [t.name for t in tensors]
