"""Graphs store weights as 8-bit rows with scales, and OpenVINO computes with floats."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from omnivec2.engines.openvino_core import make_core
from service.runtimes.embedded.engines.openvino_graph.float_weights import (
    use_float_weights,
    weights_of,
)

WIDTH = 128
RNG = np.random.default_rng(0)
ROWS = RNG.integers(-127, 128, (WIDTH, WIDTH), np.int8)
SCALES = RNG.uniform(0.001, 0.01, (WIDTH, 1)).astype(np.float32)
WEIGHTS = ROWS * SCALES
TOKENS = RNG.normal(size=(5, WIDTH)).astype(np.float32)


def stored_rows() -> ov.Node:
    return ops.multiply(ops.convert(ops.constant(ROWS), "f32"), ops.constant(SCALES))


def linear(tokens: ov.Node) -> ov.Node:
    """tokens @ weights.T, as an exported layer is stored."""
    transposed = ops.transpose(stored_rows(), ops.constant([1, 0]))
    return ops.matmul(tokens, transposed, False, False)


def answers(model: ov.Model, *inputs: np.ndarray) -> np.ndarray:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    compiled = make_core().compile_model(model, "CPU", settings)
    return np.array(compiled(list(inputs))[0])


def constants(model: ov.Model) -> Counter[str]:
    """Element type -> number of constants that are matrices of weights."""
    return Counter(
        node.get_element_type().to_string()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and np.prod(node.get_output_shape(0)) >= WIDTH**2
    )


def test_a_layer_computes_with_floats_that_are_neither_scaled_nor_transposed_in_a_run() -> None:
    tokens = ops.parameter([-1, WIDTH], np.float32)
    model = ov.Model([linear(tokens)], [tokens], "layer")
    before = answers(model, TOKENS)
    weights = use_float_weights(model)
    assert constants(model) == {"f32": 1}
    kinds = {node.get_type_name() for node in model.get_ordered_ops()}
    assert kinds == {"Parameter", "Constant", "MatMul", "Result"}
    assert weights.nbytes == WEIGHTS.nbytes
    np.testing.assert_allclose(answers(model, TOKENS), before, atol=1e-5)
    np.testing.assert_allclose(answers(model, TOKENS), TOKENS @ WEIGHTS.T, atol=1e-4)


def test_weights_whose_pages_were_given_back_are_read_again() -> None:
    tokens = ops.parameter([-1, WIDTH], np.float32)
    model = ov.Model([linear(tokens)], [tokens], "layer")
    weights = use_float_weights(model)
    weights.release_pages()
    np.testing.assert_allclose(answers(model, TOKENS), TOKENS @ WEIGHTS.T, atol=1e-4)


def test_half_precision_becomes_floats_in_whatever_operator_it_is_used() -> None:
    tokens = ops.parameter([-1, WIDTH], np.float32)
    bias = SCALES[:, 0].astype(np.float16)
    model = ov.Model([ops.add(tokens, ops.convert(ops.constant(bias), "f32"))], [tokens], "bias")
    assert use_float_weights(model).nbytes == 4 * WIDTH
    assert "Convert" not in {node.get_type_name() for node in model.get_ordered_ops()}
    np.testing.assert_array_equal(answers(model, TOKENS), TOKENS + bias.astype(np.float32))


def test_a_vocabulary_stays_as_it_is_stored() -> None:
    ids = ops.parameter([-1], np.int32)
    model = ov.Model([ops.gather(stored_rows(), ids, ops.constant(0))], [ids], "vocabulary")
    assert use_float_weights(model).nbytes == 0
    assert constants(model) == {"i8": 1}
    np.testing.assert_allclose(answers(model, np.array([3, 1], np.int32)), WEIGHTS[[3, 1]])


def test_weights_are_counted_in_the_bytes_they_take_in_memory() -> None:
    tokens = ops.parameter([-1, WIDTH], np.float32)
    model = ov.Model([linear(tokens)], [tokens], "layer")
    use_float_weights(model)
    assert weights_of(model, 2) == (WIDTH**2, 2 * WIDTH**2)


def test_fixed_rows_of_a_table_become_floats() -> None:
    tokens = ops.parameter([-1, WIDTH], np.float32)
    words = ops.constant(np.array([3, 1, 4, 1, 5], np.int64))
    rows = ops.gather(ops.constant(ROWS), words, ops.constant(0))
    scales = ops.gather(ops.constant(SCALES), words, ops.constant(0))
    chosen = ops.multiply(ops.convert(rows, "f32"), scales)
    transposed = ops.transpose(chosen, ops.constant([1, 0]))
    model = ov.Model([ops.matmul(tokens, transposed, False, False)], [tokens], "words")
    assert use_float_weights(model).nbytes == 5 * WIDTH * 4
    expected = TOKENS @ WEIGHTS[[3, 1, 4, 1, 5]].T
    np.testing.assert_allclose(answers(model, TOKENS), expected, atol=1e-4)
