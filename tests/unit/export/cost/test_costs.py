"""Costs: operations that follow from shapes, in PyTorch and in exported graphs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from safetensors.numpy import save_file

from export.cost.graph_cost import graph_operations, repository_costs, repository_weights
from export.cost.head_cost import usual_lengths, weights_by_part
from export.cost.network_cost import network_cost
from omnivec2.errors import ArtifactError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from tests.support.command_line import run
from tests.support.networks.cut_networks import cut_heads, cut_network

GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
products (float[batch, 3, 8, 8] pixels, float[batch, 5, 7] tokens) => (float[batch, 4, 6, 6] maps,
          float[batch, 5, 2] y)
<float[4, 3, 3, 3] kernel = {KERNEL}, float[7, 2] w = {WEIGHT}>
{
    maps = Conv(pixels, kernel)
    y = MatMul(tokens, w)
}
"""


def test_products_and_convolutions_of_a_graph_are_counted(tmp_path: Path) -> None:
    zeros = [", ".join(["0"] * count) for count in (108, 14)]
    text = GRAPH.replace("{KERNEL}", "{" + zeros[0] + "}").replace("{WEIGHT}", "{" + zeros[1] + "}")
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    inputs = {
        "pixels": np.zeros((2, 3, 8, 8), np.float32),
        "tokens": np.zeros((2, 5, 7), np.float32),
    }
    operations, outputs = graph_operations(tmp_path / "model.onnx", inputs)
    assert operations == 2 * (2 * 4 * 36) * 27 + 2 * (2 * 5 * 2) * 7
    assert outputs["y"].shape == (2, 5, 2)


@pytest.fixture(scope="module")
def network() -> OmniVec2:
    return cut_network()


def test_the_trunk_costs_what_its_sizes_say(network: OmniVec2) -> None:
    (head,) = [head for head in cut_heads(network) if head.route == "text/sentiment"]
    cost = network_cost(network, head)
    trunk = network.config.trunk
    n = usual_lengths(head)["tokens"]
    assert cost.tokens == n

    def layers(depth: int, width: int, ffn: int) -> int:
        return depth * (2 * n * (4 * width**2 + 2 * width * ffn) + 4 * n * n * width)

    widths = (trunk.f.width, *trunk.fc_widths)
    expected = layers(trunk.f.depth, trunk.f.width, trunk.f.ffn)
    expected += layers(trunk.g.depth, trunk.g.width, trunk.g.ffn)
    expected += sum(2 * n * a * b for a, b in itertools.pairwise(widths))
    assert cost.trunk == expected
    assert cost.tokenizer == 0  # words are looked up
    assert cost.total > expected


def test_a_checkpoint_is_counted_part_by_part(network: OmniVec2, tmp_path: Path) -> None:
    heads = [
        head for head in cut_heads(network) if head.route in ("imu/activity", "text/sentiment")
    ]
    save_network(tmp_path / "checkpoint", network, network.state_dict(), heads)
    parts = weights_by_part(tmp_path / "checkpoint" / "weights.safetensors")
    expected = sum(value.numel() for value in network.trunk.g.state_dict().values())
    assert parts["g"] == expected
    assert parts["f: transformer"] + parts["f: fully connected"] == sum(
        value.numel() for value in network.trunk.f.state_dict().values()
    )
    assert {"heads.imu_activity", "tokenizers.text"} <= parts.keys()
    assert "heads.image_detection" not in parts
    done = run("models", "--cost", "--checkpoint", tmp_path / "checkpoint")
    assert done.exit_code == 0, done.output
    assert "imu/activity" in done.output
    assert f"{expected:,}" in done.output


def test_what_cannot_be_counted_is_named(tmp_path: Path) -> None:
    for count in (repository_costs, repository_weights):
        with pytest.raises(ArtifactError, match="has no"):
            count(tmp_path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        weights_by_part(tmp_path / "weights.safetensors")
    save_file({"trunk.g.a.scale": np.zeros(3, np.float32)}, tmp_path / "weights.safetensors")
    assert weights_by_part(tmp_path / "weights.safetensors") == {}
    done = run("models", "--model-repo", tmp_path)
    assert done.exit_code == 2
