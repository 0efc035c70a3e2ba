"""An 8-bit graph is rearranged for OpenVINO, and answers as before."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from omnivec2.engines.openvino_core import make_core
from service.runtimes.embedded.engines.openvino_graph.int8_arrangement import arrange_int8

HEADS, CHANNELS, REPEATED = 2, 16, [3, 3, 29]
WIDTH = HEADS * CHANNELS
ALL_AND_REPEATED = np.array([*range(WIDTH), *REPEATED])
RNG = np.random.default_rng(0)
ROWS = RNG.integers(-127, 128, (len(ALL_AND_REPEATED), 3 * WIDTH), np.int8)
SCALES = RNG.uniform(0.001, 0.01, (1, 3 * WIDTH)).astype(np.float32)
BIAS = RNG.normal(size=3 * WIDTH).astype(np.float32)
TOKENS = RNG.normal(size=(2, 5, WIDTH)).astype(np.float32)


def attention(
    *, indices: np.ndarray = ALL_AND_REPEATED, order: tuple[int, ...] = (0, 2, 1, 3)
) -> ov.Model:
    """Attention over repeated channels, with one product as the exporter makes it."""
    tokens = ops.parameter([-1, -1, WIDTH], np.float32)
    repeated = ops.gather(tokens, ops.constant(indices), ops.constant(-1))
    weights = ops.multiply(ops.convert(ops.constant(ROWS), "f32"), ops.constant(SCALES))
    product = ops.add(ops.matmul(repeated, weights, False, False), ops.constant(BIAS))
    shape = ops.constant(np.array([0, 0, 3 * HEADS, CHANNELS]))
    heads = ops.transpose(ops.reshape(product, shape, True), ops.constant(np.array(order)))
    queries, keys, values = ops.split(heads, ops.constant(1), 3).outputs()
    weighted = ops.matmul(
        ops.softmax(ops.matmul(queries, keys, False, True), -1), values, False, False
    )
    return ov.Model([weighted], [tokens], "attention")


def kinds(model: ov.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ordered_ops())


def answers(model: ov.Model) -> np.ndarray:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    return np.array(make_core().compile_model(model, "CPU", settings)([TOKENS])[0])


def test_three_products_and_appended_channels_answer_as_one_product_and_a_look_up() -> None:
    before = answers(attention())
    model = attention()
    arrange_int8(model)
    assert kinds(model)["MatMul"] == kinds(attention())["MatMul"] + 2
    assert kinds(model)["Concat"] == 1
    [appended] = [node for node in model.get_ordered_ops() if node.get_type_name() == "Gather"]
    assert appended.get_output_partial_shape(0)[2].get_length() == len(REPEATED)
    np.testing.assert_allclose(answers(model), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "indices", [np.roll(ALL_AND_REPEATED, 1), np.array(REPEATED)], ids=["in another order", "few"]
)
def test_channels_that_are_not_all_there_in_their_order_are_still_looked_up(
    indices: np.ndarray,
) -> None:
    tokens = ops.parameter([-1, -1, WIDTH], np.float32)
    model = ov.Model([ops.gather(tokens, ops.constant(indices), ops.constant(2))], [tokens], "few")
    arrange_int8(model)
    assert kinds(model)["Concat"] == 0
    np.testing.assert_array_equal(answers(model), TOKENS[..., indices])


def test_a_product_that_goes_elsewhere_stays_as_it_is() -> None:
    # Tokens are not exchanged with heads, so what is split are tokens.
    model = attention(order=(0, 1, 2, 3))
    before = kinds(model)
    arrange_int8(model)
    assert kinds(model)["Concat"] == 1
    assert kinds(model)["MatMul"] == before["MatMul"]
    assert kinds(model)["Split"] == 1
