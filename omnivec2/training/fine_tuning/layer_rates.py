"""Rates by layer and frozen layers: what is nearer to the input changes less."""

from __future__ import annotations

from torch import nn

from omnivec2.network.omnivec2 import OmniVec2


def layer_rates(network: OmniVec2, rate: float, decay: float) -> dict[int, float]:
    """Return the rate of every weight of f's transformer, by the id of the parameter.

    The last layer has the full rate, and each layer before it ``decay`` times that of the next, as
    in the fine-tuning of BEiT and MAE.

    Args:
        network: The network.
        rate: The rate of the last layer.
        decay: The factor from one layer to the one before it; 1 for the same rate everywhere.
    """
    f = network.trunk.f.transformer
    rates = {id(parameter): rate for parameter in f.parameters()}
    for index, layer in enumerate(f.layers):
        factor = decay ** (len(f.layers) - 1 - index)
        rates |= {id(parameter): rate * factor for parameter in layer.parameters()}
    return rates


def tokenizer_rates(
    network: OmniVec2, tokenizer: nn.Module, rate: float, decay: float
) -> dict[int, float]:
    """Return the rate of a pretrained tokenizer's weights: those of a layer before the first."""
    factor = decay ** len(network.trunk.f.transformer.layers)
    return {id(parameter): rate * factor for parameter in tokenizer.parameters()}


def train_last_layers(network: OmniVec2, count: int) -> None:
    """Freeze all but the last layers of f's transformer.

    Args:
        network: The network.
        count: The number of layers that are trained; 0 freezes the whole transformer.
    """
    f = network.trunk.f.transformer
    if count == 0:
        f.requires_grad_(False)
    for layer in f.layers[: max(0, len(f.layers) - count)]:
        layer.requires_grad_(False)
