"""Cross-attention between two modalities: used in training only, removed at inference.

Every use is residual and gated, ``z + m * tanh(alpha) * A(LN z, LN y)``. ``m`` is drawn
per sample and is zero at inference, so the network without this module computes exactly
what the network with ``m = 0`` computes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnivec2.network.layers import Attention, Tokens

ALPHA_START = 0.1
"""Small but not zero, so that gradient reaches the attention from the first step."""


class GatedCrossAttention(nn.Module):
    """``z + m * tanh(alpha) * A(LN z, LN y)`` for a stream z that attends to tokens y."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.query_norm = nn.LayerNorm(width)
        self.key_norm = nn.LayerNorm(width)
        self.alpha = nn.Parameter(torch.tensor(ALPHA_START))

    def forward(self, z: Tokens, y: Tokens, gate_B: Tensor) -> Tokens:
        """Add to ``z`` its attention to ``y``, for the samples whose gate is 1.

        Args:
            z: The stream, (B, N, D).
            y: The tokens attended to, (C, M, D); sample b of z attends to sample b mod C of y.
            gate_B: The gate m of each sample, 0 or 1.
        """
        y = _aligned(y, z.x_BND.shape[0])
        seen = self.attention(self.query_norm(z.x_BND), self.key_norm(y.x_BND), y.mask_BN)
        weight = gate_B[:, None, None].to(seen.dtype) * torch.tanh(self.alpha)
        return z.with_x(z.x_BND + weight * seen)


def _aligned(y: Tokens, batch: int) -> Tokens:
    """Return ``y`` with as many samples as the stream that attends to it, repeated or cut."""
    if y.x_BND.shape[0] == batch:
        return y
    chosen = torch.arange(batch) % y.x_BND.shape[0]
    return Tokens(y.x_BND[chosen], None if y.mask_BN is None else y.mask_BN[chosen])


class PlainCrossAttention(nn.Module):
    """``A(z, y)`` in place of the stream z where m = 1: the paper's wording, without gates."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)

    def forward(self, z: Tokens, y: Tokens, gate_B: Tensor) -> Tokens:
        """Replace ``z`` by its attention to ``y``, for the samples whose gate is 1.

        Args:
            z: The stream, (B, N, D).
            y: The tokens attended to, (C, M, D); sample b of z attends to sample b mod C of y.
            gate_B: The gate m of each sample, 0 or 1.
        """
        y = _aligned(y, z.x_BND.shape[0])
        seen = self.attention(z.x_BND, y.x_BND, y.mask_BN)
        return z.with_x(torch.where(gate_B[:, None, None] > 0, seen.to(z.x_BND.dtype), z.x_BND))


class PairFusion(nn.Module):
    """The two cross-attentions of the paper: A(f(xi), f(xj)) before g, A(x_ij, xi) before heads.

    Args:
        width: The width of g.
        heads: The number of attention heads.
        plain: Whether attention replaces the stream, without residual, gate and LayerNorm.
    """

    def __init__(self, width: int, heads: int, *, plain: bool = False) -> None:
        super().__init__()
        kind = PlainCrossAttention if plain else GatedCrossAttention
        self.before_g = kind(width, heads)
        self.before_heads = kind(width, heads)
