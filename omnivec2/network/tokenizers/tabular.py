"""Tables: one token per column (FT-Transformer, Gorishniy et al., 2021)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from omnivec2.network.config import TabularTokenizerConfig
from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer


class TabularTokenizer(Tokenizer):
    """``numbers`` float32 (B, Nn), ``missing`` uint8 (B, Nn), ``categories`` int32 (B, Nc).

    A number's token is x W + b, with a learned token where it is missing; a category's
    is looked up in one table that holds all columns' ids one after another.
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
        self.categories = nn.Embedding(starts[-1], width)
        nn.init.normal_(self.categories.weight, std=0.5)

    def forward(self, inputs: Inputs) -> Tokens:
        """Numeric columns first, then categorical ones."""
        scaled = ((inputs["numbers"] - self.mean) / self.std)[..., None]
        numeric = scaled * self.weight + self.bias
        numeric = torch.where(inputs["missing"][..., None] > 0, self.absent, numeric)
        categorical = self.categories(inputs["categories"] + self.offsets)
        return self.finish(torch.cat([numeric, categorical], dim=1))
