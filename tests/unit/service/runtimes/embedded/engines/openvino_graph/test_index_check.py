from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from omnivec2.engines.openvino_core import make_core
from service.runtimes.embedded.engines.openvino_graph.index_check import (
    OUT_OF_RANGE,
    add_index_check,
)

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def rows_of_a_constant() -> ov.Model:
    ids = ops.parameter([-1], np.int32, name="ids")
    return ov.Model([ops.gather(ops.constant(TABLE), ids, ops.constant(0))], [ids], "rows")


def values_along_an_axis() -> ov.Model:
    ids = ops.parameter([-1, -1], np.int64, name="ids")
    table = ops.constant(np.ascontiguousarray(TABLE.T))
    found = ops.gather_elements(table, ops.reshape(ids, ops.constant([3, -1]), False), 1)
    return ov.Model([found], [ids], "values")


def places_of_rows() -> ov.Model:
    ids = ops.parameter([-1, 1], np.int32, name="ids")
    return ov.Model([ops.gather_nd(ops.constant(TABLE), ids)], [ids], "places")


def check(model: ov.Model, ids: np.ndarray) -> bool:
    compiled = make_core().compile_model(model, "CPU")
    compiled(ids)
    request = compiled.create_infer_request()
    request.infer([ids])
    return bool(request.get_tensor(OUT_OF_RANGE).data)


@pytest.mark.parametrize("lookup", [rows_of_a_constant, values_along_an_axis, places_of_rows])
def test_a_graph_says_whether_an_index_is_outside_of_its_table(lookup: object) -> None:
    assert callable(lookup)
    model: ov.Model = lookup()
    kind = model.inputs[0].element_type.to_dtype()
    assert add_index_check(model)

    def ids(value: int) -> np.ndarray:
        given = np.zeros((3, 1), kind)
        given[1] = value
        return given[:, 0] if len(model.inputs[0].partial_shape) == 1 else given

    outside = [check(model, ids(value)) for value in (0, 3, -4, 4, -5, 2**31 - 1)]
    assert outside == [False, False, False, True, True, True]


def test_a_table_of_varying_size_is_measured_in_the_run() -> None:
    table = ops.parameter([-1, 3], np.float32, name="table")
    ids = ops.parameter([-1], np.int32, name="ids")
    model = ov.Model([ops.gather(table, ids, ops.constant(0))], [table, ids], "rows")
    assert add_index_check(model)
    request = make_core().compile_model(model, "CPU").create_infer_request()
    answers = []
    for rows in (4, 3):
        request.infer([TABLE[:rows], np.array([3], np.int32)])
        answers.append(bool(request.get_tensor(OUT_OF_RANGE).data))
    assert answers == [False, True]


def test_a_graph_without_lookups_gets_no_output_more() -> None:
    tokens = ops.parameter([-1, 3], np.float32, name="tokens")
    first = ops.gather(tokens, ops.constant(0), ops.constant(1))
    model = ov.Model([first], [tokens], "first")
    assert not add_index_check(model)
    assert len(model.outputs) == 1
