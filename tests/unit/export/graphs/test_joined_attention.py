"""Attention as it is traced answers like the network's, and its joined maps come from the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.graphs.export_graph import load_folded
from export.graphs.joined_attention import JoinedAttention, joined_attention
from export.graphs.onnx_export import export_graph
from export.graphs.traceable import Traceable
from export.graphs.weight_ranges import StoredWeights
from omnivec2.checkpoint import write_checkpoint
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import Attention, Transformer
from omnivec2.spec import TensorSpec

WIDTH, LAYERS = 128, 2


class Stack(nn.Module):
    """Two layers over tokens with a mask; it holds the network as the exporter's modules do."""

    def __init__(self) -> None:
        super().__init__()
        config = TransformerConfig(width=WIDTH, depth=LAYERS, heads=4, ffn=WIDTH)
        self.network = Transformer(config, norm="post")
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor]:
        return (self.network(tensors[0], tensors[1]),)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> StoredWeights:
    torch.manual_seed(0)
    tensors = {name: value.numpy() for name, value in Stack().network.state_dict().items()}
    directory = tmp_path_factory.mktemp("attention") / "c"
    write_checkpoint(directory, config={}, tensors=tensors, heads=[])
    return StoredWeights(directory)


@pytest.fixture(scope="module")
def stack(weights: StoredWeights) -> Stack:
    module = Stack()
    module.network.load_state_dict({n: torch.from_numpy(a) for n, a in weights.values.items()})
    return module


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(3, 17, WIDTH)).astype(np.float32)
    return {"x": x, "mask": np.arange(17)[None] < np.array([[17], [5], [11]])}


def test_the_joined_maps_answer_like_the_three(batch: dict[str, np.ndarray]) -> None:
    own = Attention(WIDTH, 4).eval()
    x, mask = torch.from_numpy(batch["x"]), torch.from_numpy(batch["mask"])
    for real in (mask, None):
        torch.testing.assert_close(JoinedAttention(own)(x, x, real), own(x, x, real))


def _stop_in_the_middle(stack: Stack) -> None:
    with joined_attention(stack) as joined:
        kinds = [type(layer.attention) for layer in stack.network.layers]
        assert kinds == [JoinedAttention] * LAYERS
        assert len(joined) == 2 * LAYERS
        raise RuntimeError("stop")


def test_a_module_gets_its_own_attention_back_even_after_an_error(stack: Stack) -> None:
    before = [layer.attention for layer in stack.network.layers]
    with pytest.raises(RuntimeError, match="stop"):
        _stop_in_the_middle(stack)
    assert [layer.attention for layer in stack.network.layers] == before


def test_an_exported_stack_has_one_product_per_attention_and_one_mask(
    stack: Stack, weights: StoredWeights, batch: dict[str, np.ndarray], tmp_path: Path
) -> None:
    tensors = (
        TensorSpec(name="x", dtype="float32", shape=(-1, WIDTH)),
        TensorSpec(name="mask", dtype="bool", shape=(-1,)),
    )
    output = (TensorSpec(name="y", dtype="float32", shape=(-1, WIDTH)),)
    axes = {name: {0: "batch", 1: "length"} for name in ("x", "mask")}
    bounds = {"batch": (1, 64), "length": (2, 64)}
    traceable = Traceable("stack", stack, tensors, output, axes, bounds, batch)
    (tmp_path / "weights.safetensors").write_bytes(weights.path.read_bytes())
    graph = export_graph(traceable, weights, tmp_path / "model.onnx")
    nodes = onnx.load(graph.path, load_external_data=False).graph.node
    kinds = Counter(node.op_type for node in nodes)
    # Two products of attention, and its two maps, and the two of the layer's own network.
    assert kinds["MatMul"] == 6 * LAYERS
    assert kinds["Sub"] == 1
    assert kinds["Softmax"] == kinds["Gelu"] == LAYERS
    assert kinds["LayerNormalization"] == 2 * LAYERS
    assert not {"Where", "IsNaN"} & set(kinds)
    assert set(graph.reads) >= {f"layers.0.attention.{p}.weight" for p in ("query", "key", "value")}
    answer = load_folded(graph).run(None, batch)[0]
    np.testing.assert_allclose(answer, traceable.answer(batch)["y"], atol=1e-5)
