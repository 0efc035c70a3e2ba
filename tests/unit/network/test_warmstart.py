"""Pretrained weights in the network: what is copied, and where it fits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.errors import CheckpointError
from omnivec2.network import warmstart
from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import (
    BLOCKS,
    LATER_BLOCKS,
    DeepBlocks,
    InvertedResidual,
    Stem,
    deep_places,
)
from omnivec2.network.warmstart import (
    EFFICIENTNET,
    load_blocks,
    load_deep_blocks,
    load_stem,
    warm_start,
)
from omnivec2.spec import TaskFamily
from tests.support.networks.networks import TOKENIZERS


def efficientnet(blocks: int) -> dict[str, Tensor]:
    """Return random weights with the names and shapes of EfficientNet-Lite0's first blocks."""
    torch.manual_seed(2)
    weights: dict[str, Tensor] = {}

    def add(conv: str, norm: str, *shape: int) -> None:
        weights[f"{conv}.weight"] = torch.randn(shape) * 0.1
        weights[f"{norm}.weight"], weights[f"{norm}.bias"] = torch.randn(2, shape[0])
        weights[f"{norm}.running_mean"] = torch.randn(shape[0])
        weights[f"{norm}.running_var"] = torch.rand(shape[0]) + 0.5

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    for index, (inputs, outputs, expansion, kernel, _) in enumerate(
        (BLOCKS + LATER_BLOCKS)[:blocks]
    ):
        prefix, wide = f"_blocks.{index}.", inputs * expansion
        if expansion > 1:
            add(f"{prefix}_expand_conv", f"{prefix}_bn0", wide, inputs, 1, 1)
        add(f"{prefix}_depthwise_conv", f"{prefix}_bn1", wide, 1, kernel, kernel)
        add(f"{prefix}_project_conv", f"{prefix}_bn2", outputs, wide, 1, 1)
    return weights


def test_batch_normalisation_is_folded_into_the_convolutions() -> None:
    weights, stem = efficientnet(6), Stem(3, 6)
    load_stem(stem, weights)
    norm = nn.BatchNorm2d(32, eps=1e-3).eval()
    norm.load_state_dict({k: weights[f"_bn0.{k}"] for k in norm.state_dict() if k[0] != "n"},
                         strict=False)  # fmt: skip
    x = torch.randn(2, 3, 32, 32)
    expected = norm(F.conv2d(F.pad(x, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2))
    assert torch.allclose(stem.first(x), expected, atol=1e-5)


def test_deep_blocks_get_the_weights_of_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, deep = efficientnet(16), DeepBlocks(6)
    monkeypatch.setattr(warmstart, "efficientnet_weights", lambda: weights)
    load_deep_blocks(deep)
    every = [InvertedResidual(*sizes) for sizes in BLOCKS + LATER_BLOCKS]
    load_blocks(every, weights)
    for block, place in zip(deep.blocks, deep_places(6), strict=True):
        for name, value in every[place].state_dict().items():
            assert torch.equal(block.state_dict()[name], value)


def test_a_grey_picture_gives_what_the_same_picture_in_colour_gives() -> None:
    weights, colour, grey = efficientnet(6), Stem(3, 6), Stem(1, 6)
    load_stem(colour, weights)
    load_stem(grey, weights)
    x = torch.rand(1, 1, 32, 32)
    assert torch.allclose(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_only_what_fits_is_copied() -> None:
    config = NetworkConfig.model_validate(
        PRESETS["tiny"].model_dump()
        | {
            "tokenizers": {"image": TOKENIZERS["image"]},
            "heads": {
                "image/a": HeadConfig(
                    family=TaskFamily.CLASSIFICATION, tokenizer="image", outputs=2
                )
            },
        }
    )
    # MiniLM is 384 wide, the tiny trunk is not.
    assert warm_start(OmniVec2(config)) == {"tokenizers.image.stem": EFFICIENTNET}


def test_a_missing_package_is_named_with_what_to_do() -> None:
    with pytest.raises(CheckpointError, match="needs the package no-such-package"):
        warmstart.package_file("no_such_package", "weights")
    with pytest.raises(CheckpointError, match=r"package yaml holds no file weights\.bin"):
        warmstart.package_file("yaml", "weights.bin")
