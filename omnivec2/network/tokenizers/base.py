"""The base of all tokenizers: a CLS token in front and a LayerNorm at the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from omnivec2.network.layers import Tokens

Inputs = Mapping[str, Tensor]


class Tokenizer(nn.Module):
    """A module that turns named arrays (B, ...) into tokens (B, 1 + N, width), CLS first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def finish(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tokens:
        """Prepend CLS, normalise, and extend the mask."""
        batch = x_BND.shape[0]
        cls = self.cls.to(x_BND.dtype).expand(batch, 1, -1)
        x_BND = self.norm(torch.cat([cls, x_BND], dim=1))
        if mask_BN is not None:
            mask_BN = torch.cat([torch.ones_like(mask_BN[:, :1]), mask_BN], dim=1)
        return Tokens(x_BND, mask_BN)
