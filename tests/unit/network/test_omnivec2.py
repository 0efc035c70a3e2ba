"""The network as a whole: shapes, the training-only fusion, padding, presets."""

from __future__ import annotations

import pytest
import torch

from omnivec2.network.config import PRESETS
from omnivec2.network.fusion import PairFusion
from omnivec2.network.layers import Tokens
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.trunk import Trunk, parameters_of
from tests.support.networks.networks import HEADS, make_inputs

EXPECTED_SHAPES = {
    "image/classification": {"logits": (4,)},
    "image/detection": {"logits": (16, 4), "boxes": (16, 4)},
    "image/segmentation": {"logits": (5, 16, 16)},
    "video/action": {"logits": (2,)},
    "audio/events": {"logits": (3,)},
    "text/sentiment": {"logits": (2,)},
    "depth/action": {"logits": (3,)},
    "pointcloud/parts": {"logits": (8, 3)},
    "timeseries/forecast": {"mean": (12,), "quantiles": (2, 12)},
    "tabular/income": {"logits": (2,)},
    "graph/solubility": {"values": (1,)},
    "xray/pneumonia": {"logits": (2,)},
    "infrared/objects": {"logits": (4,)},
    "imu/activity": {"logits": (6,)},
    "hyperspectral/landcover": {"logits": (4,)},
    "text/embedding": {"embedding": (32,)},
}


@pytest.mark.parametrize("route", sorted(HEADS))
def test_every_route_answers_with_the_outputs_of_its_family(network: OmniVec2, route: str) -> None:
    with torch.no_grad():
        outputs = network(route, make_inputs(route, 3))
    assert {k: tuple(v.shape[1:]) for k, v in outputs.items()} == EXPECTED_SHAPES[route]
    assert all(v.shape[0] == 3 and torch.isfinite(v).all() for v in outputs.values())


@pytest.mark.parametrize("route", sorted(HEADS))
def test_with_all_gates_at_zero_the_pair_equals_the_single_stream_bit_for_bit(
    network: OmniVec2, route: str
) -> None:
    other = "imu/activity" if route != "imu/activity" else "tabular/income"
    inputs = make_inputs(route, 2), make_inputs(other, 2)
    with torch.no_grad():
        alone = network(route, inputs[0])
        paired, _ = network.forward_pair((route, other), inputs, (torch.zeros(2), torch.zeros(2)))
    for name, value in alone.items():
        assert torch.equal(value, paired[name])


def test_an_open_gate_changes_only_the_samples_it_is_open_for(network: OmniVec2) -> None:
    inputs = make_inputs("imu/activity", 2), make_inputs("tabular/income", 2)
    with torch.no_grad():
        alone = network("imu/activity", inputs[0])["logits"]
        paired, _ = network.forward_pair(
            ("imu/activity", "tabular/income"), inputs, (torch.tensor([1.0, 0.0]), torch.zeros(2))
        )
    assert not torch.allclose(alone[0], paired["logits"][0], atol=1e-5)
    assert torch.equal(alone[1], paired["logits"][1])


@pytest.mark.parametrize("route", ["text/sentiment", "graph/solubility", "text/embedding"])
def test_padding_with_a_mask_changes_no_answer(network: OmniVec2, route: str) -> None:
    inputs = make_inputs(route, 2)
    padded = {
        name: torch.cat([x, torch.zeros(x.shape[0], 7, *x.shape[2:], dtype=x.dtype)], dim=1)
        for name, x in inputs.items()
    }
    with torch.no_grad():
        short, long = network(route, inputs), network(route, padded)
    for name, value in short.items():
        assert torch.allclose(value, long[name], atol=1e-5)


def test_both_sites_of_cross_attention_receive_gradient(network: OmniVec2) -> None:
    network.zero_grad()
    inputs = make_inputs("imu/activity", 2), make_inputs("tabular/income", 2)
    outputs = network.forward_pair(
        ("imu/activity", "tabular/income"), inputs, (torch.ones(2), torch.ones(2))
    )
    sum(o["logits"].square().sum() for o in outputs).backward()
    for site in (network.fusion.before_g, network.fusion.before_heads):
        assert site.alpha.grad is not None
        assert site.alpha.grad.abs() > 0
    network.zero_grad()


def test_a_forecast_follows_the_level_and_scale_of_its_series(network: OmniVec2) -> None:
    values = make_inputs("timeseries/forecast", 2)["values"]
    with torch.no_grad():
        base = network("timeseries/forecast", {"values": values})["mean"]
        moved = network("timeseries/forecast", {"values": values * 3 + 100})["mean"]
    assert torch.allclose(moved, base * 3 + 100, rtol=1e-4, atol=1e-2)


def test_a_point_group_is_indifferent_to_the_order_of_its_points(network: OmniVec2) -> None:
    inputs = make_inputs("pointcloud/parts", 2)
    shuffled = {**inputs, "groups": inputs["groups"][:, :, torch.randperm(16)]}
    with torch.no_grad():
        a, b = network("pointcloud/parts", inputs), network("pointcloud/parts", shuffled)
    assert torch.allclose(a["logits"], b["logits"], atol=1e-5)


def test_the_paper_preset_has_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        trunk = Trunk(PRESETS["paper"].trunk)
    assert parameters_of(trunk.f.transformer) == pytest.approx(85.1e6, rel=0.005)
    assert parameters_of(trunk.g) == pytest.approx(21.3e6, rel=0.005)


@torch.no_grad()
def test_plain_fusion_replaces_a_stream_by_its_attention_where_the_gate_is_open() -> None:
    torch.manual_seed(0)
    fusion = PairFusion(32, 1, plain=True).before_g
    z, y = Tokens(torch.randn(2, 5, 32)), Tokens(torch.randn(1, 3, 32))
    fused = fusion(z, y, torch.tensor([1.0, 0.0])).x_BND
    expected = fusion.attention(z.x_BND[:1], y.x_BND)
    assert torch.allclose(fused[0], expected[0], atol=1e-6)
    assert torch.equal(fused[1], z.x_BND[1])
    assert not [name for name, _ in fusion.named_parameters() if "norm" in name or "alpha" in name]
