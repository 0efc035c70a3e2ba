"""Tables: one token per column (FT-Transformer, Gorishniy et al., 2021)."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, StandardUnitsTokenizer, TokenizerConfig
from omnivec2.spec import Modality

_NARROWEST = 1e-3
"""Least width of a piece, in deviations of its column: a narrower one is a step."""


class TabularTokenizerConfig(TokenizerConfig):
    """Sizes of one token per column (FT-Transformer), from the table's schema."""

    modality: Literal[Modality.TABULAR] = Modality.TABULAR
    numbers: int
    cardinalities: tuple[int, ...] = Field(
        description="ids per categorical column, the missing (0) and unknown (1) ids included"
    )
    pieces: int = Field(
        default=0, ge=0, description="parts of every number's range, with a part of the token each"
    )

    @property
    def own_widths(self) -> dict[str, int]:
        """Every number, a flag where it is missing, and a flag per category."""
        return {"raw": 2 * self.numbers + sum(self.cardinalities)}

    def build(self, width: int) -> TabularTokenizer:
        """Return a tokenizer of these sizes."""
        return TabularTokenizer(self, width)


class Piecewise(nn.Module):
    """The part of a number's token that depends on the piece of its range the number is in.

    Piecewise linear encoding (Gorishniy et al., 2022): a piece's share is 0 below it, 1 above,
    and grows along it. Thresholds, which are common in tables, are sums of such shares. The
    weights start at zero, so that a network trained without pieces can be continued with them.

    Args:
        numbers: The number of numeric columns.
        pieces: The number of pieces of each column's range.
        width: The width of a token.
    """

    edges: Tensor

    def __init__(self, numbers: int, pieces: int, width: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-2, 2, pieces + 1).repeat(numbers, 1))
        self.weight = nn.Parameter(torch.zeros(numbers, pieces, width))

    def forward(self, scaled: Tensor) -> Tensor:
        """Encode numbers in deviations, (B, Nn, 1) -> (B, Nn, width)."""
        low = self.edges[:, :-1]
        length = (self.edges[:, 1:] - low).clamp(min=_NARROWEST)
        share = ((scaled - low) / length).clamp(0, 1)
        return torch.matmul(share[:, :, None], self.weight)[:, :, 0]


class TabularTokenizer(StandardUnitsTokenizer):
    """``numbers`` float32 (B, Nn), ``missing`` uint8 (B, Nn), ``categories`` int32 (B, Nc).

    A number's token is x W + b plus the part of its pieces (``Piecewise``), or a learned token
    where it is missing; a category's is looked up in one table that holds all columns' ids one
    after another.
    """

    mean: Tensor
    std: Tensor
    offsets: Tensor

    def __init__(self, config: TabularTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.register_buffer("mean", torch.zeros(config.numbers))
        self.register_buffer("std", torch.ones(config.numbers))
        starts = [0, *itertools.accumulate(config.cardinalities)]
        self.register_buffer("offsets", torch.tensor(starts[:-1], dtype=torch.int32))
        self.weight = nn.Parameter(torch.randn(config.numbers, width) * 0.5)
        self.bias = nn.Parameter(torch.randn(config.numbers, width) * 0.5)
        self.absent = nn.Parameter(torch.randn(config.numbers, width) * 0.5)
        has_pieces = config.pieces and config.numbers
        self.piecewise = Piecewise(config.numbers, config.pieces, width) if has_pieces else None
        self.categories = nn.Embedding(starts[-1], width)
        nn.init.normal_(self.categories.weight, std=0.5)

    def forward(self, inputs: Inputs) -> Tokens:
        """Make the tokens of numeric columns first, then those of categorical ones."""
        scaled = ((inputs["numbers"] - self.mean) / self.std)[..., None]
        numeric = scaled * self.weight + self.bias
        if self.piecewise is not None:
            numeric = numeric + self.piecewise(scaled)
        numeric = torch.where(inputs["missing"][..., None] > 0, self.absent, numeric)
        categorical = self.categories(inputs["categories"] + self.offsets)
        return self.finish(torch.cat([numeric, categorical], dim=1))

    def raw(self, inputs: Inputs) -> Tensor:
        """Return numbers in deviations (missing ones 0), flags of missing ones, one-hot ids."""
        missing = inputs["missing"].to(self.mean.dtype)
        scaled = (inputs["numbers"] - self.mean) / self.std * (1 - missing)
        ids = inputs["categories"] + self.offsets
        known = torch.arange(self.categories.num_embeddings, dtype=ids.dtype, device=ids.device)
        hot = (ids[..., None] == known).to(scaled.dtype).sum(dim=1)
        return torch.cat([scaled, missing, hot], dim=1)
