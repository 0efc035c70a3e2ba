"""The trunk g . f, shared by every modality and every task (Figure 1 of the paper)."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import nn

from omnivec2.network.config import TrunkConfig
from omnivec2.network.layers import F_INPUT_MEAN, F_MEAN, Tokens, Transformer, masked_mean


class FeatureTransformation(nn.Module):
    """f: a BERT-type transformer, then fully connected layers that narrow the tokens.

    ReLU follows all but the last, which is linear with a LayerNorm, because ReLU there
    (the paper's wording, ``literal``) halves the information that reaches g. Without fully
    connected layers, which the paper calls optional, g gets what the transformer ends with.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        widths = (config.f.width, *config.fc_widths)
        self.transformer = Transformer(config.f, norm="post")
        self.fc = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        # BERT's outputs are small (MiniLM's last LayerNorm scales by about 0.05):
        # random biases would drown it.
        for linear in self.fc:
            nn.init.kaiming_normal_(linear.get_parameter("weight"), nonlinearity="relu")
            nn.init.zeros_(linear.get_parameter("bias"))
        self.literal = config.literal
        has_norm = len(self.fc) > 0 and not config.literal
        self.norm = nn.LayerNorm(widths[-1]) if has_norm else nn.Identity()

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform tokens (B, N, f width) to (B, N, g width).

        The extras ``f_input_mean`` and ``f_mean`` are what a head may see of them before and after
        the transformer, before they are narrowed.
        """
        x = self.transformer(tokens.x_BND, tokens.mask_BN)
        summaries = {
            F_INPUT_MEAN: masked_mean(tokens.x_BND, tokens.mask_BN),
            F_MEAN: masked_mean(x, tokens.mask_BN),
        }
        last = len(self.fc) - 1
        for index, linear in enumerate(self.fc):
            x = linear(x)
            if index < last or self.literal:
                x = F.relu(x)
        return Tokens(self.norm(x), tokens.mask_BN, tokens.extras | summaries)


class FeatureFusion(nn.Module):
    """g: the fusion transformer, of f's architecture at the narrowed width."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.transformer = Transformer(config.g, norm="post")

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform tokens (B, N, D) to (B, N, D)."""
        return tokens.with_x(self.transformer(tokens.x_BND, tokens.mask_BN))


class Trunk(nn.Module):
    """g . f for a single stream: the whole trunk at inference."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.f = FeatureTransformation(config)
        self.g = FeatureFusion(config)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform tokens of any modality into features of the same length."""
        return self.g(self.f(tokens))


def parameters_of(module: nn.Module) -> int:
    """Count the parameters of a module."""
    return sum(p.numel() for p in module.parameters())


__all__ = ["FeatureFusion", "FeatureTransformation", "Trunk", "parameters_of"]
