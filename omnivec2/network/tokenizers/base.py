"""The base of every tokenizer and of its configuration.

Every tokenizer puts a CLS token in front and ends with a LayerNorm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from omnivec2.network.frozen_config import FrozenConfig
from omnivec2.network.layers import Tokens

Inputs = Mapping[str, Tensor]


class TokenizerConfig(FrozenConfig, ABC):
    """The sizes of a tokenizer; a subclass has a field ``modality``, its discriminator."""

    @abstractmethod
    def build(self, width: int) -> Tokenizer:
        """Return a tokenizer of these sizes that makes tokens of ``width``."""

    @property
    def own_widths(self) -> dict[str, int]:
        """The sizes of summaries that only this tokenizer hands out, by name."""
        return {}

    def combined_with(self, other: object) -> Self:
        """Return the sizes that suit the inputs of both; those of this one unless overridden."""
        del other
        return self


class Tokenizer(nn.Module):
    """A module from named arrays (B, ...) to tokens (B, 1 + N, width), CLS first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.norm: nn.Module = nn.LayerNorm(width)

    def finish(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tokens:
        """Prepend CLS, normalise, and extend the mask."""
        batch = x_BND.shape[0]
        cls = self.cls.to(x_BND.dtype).expand(batch, 1, -1)
        x_BND = self.norm(torch.cat([cls, x_BND], dim=1))
        if mask_BN is not None:
            mask_BN = torch.cat([torch.ones_like(mask_BN[:, :1]), mask_BN], dim=1)
        return Tokens(x_BND, mask_BN)

    def forward_own(self, inputs: Inputs) -> Tokens:
        """Make the tokens, with the summaries of ``TokenizerConfig.own_widths`` as extras."""
        tokens: Tokens = self(inputs)
        return tokens


class StandardUnitsTokenizer(Tokenizer, ABC):
    """A tokenizer that can also hand out the input itself, for heads with the summary ``raw``."""

    @abstractmethod
    def raw(self, inputs: Inputs) -> Tensor:
        """Return the input itself in standard units, (B, raw width)."""

    def forward_own(self, inputs: Inputs) -> Tokens:
        """Make the tokens, and hand out ``raw``."""
        tokens = super().forward_own(inputs)
        tokens.extras["raw"] = self.raw(inputs)
        return tokens
