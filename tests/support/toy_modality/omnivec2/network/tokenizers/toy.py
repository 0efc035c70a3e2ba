"""Pressure: one token per reading, as its difference from the mean."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from omnivec2.network.layers import GridPositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.spec import Modality


class ToyTokenizerConfig(TokenizerConfig):
    """Sizes of one token per reading."""

    modality: Literal[Modality.TOY] = Modality.TOY
    readings: int = 16

    def build(self, width: int) -> ToyTokenizer:
        """Return a tokenizer of these sizes."""
        return ToyTokenizer(self, width)


class ToyTokenizer(Tokenizer):
    """``pressure`` float32 (B, N), scaled with a constant that is fitted to the data."""

    std: Tensor

    def __init__(self, config: ToyTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.readings = config.readings
        self.register_buffer("std", torch.ones(1))
        self.project = nn.Linear(1, width)
        self.positions = GridPositions((config.readings,), width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Scale the readings and project each."""
        scaled = self.scaled(inputs["pressure"])
        return self.finish(self.project(scaled[..., None]) + self.positions((self.readings,)))

    def scaled(self, pressure: Tensor) -> Tensor:
        """Return the differences from the mean of each series, in deviations."""
        return (pressure - pressure.mean(dim=1, keepdim=True)) / self.std
