"""Point clouds: a mini-PointNet over each group, plus an embedding of its centre.

Source: Point-BERT (Yu et al., 2022), narrower and without batch normalisation; centres
as Fourier features (Tancik et al., 2020), which separate near places from the start.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.spec import Modality

_OCTAVES = 4
GROUP_GAIN = 10.0
"""Neighbours lie within a tenth of the unit sphere: this factor brings them to about 1."""


class PointCloudTokenizerConfig(TokenizerConfig):
    """Sizes of a mini-PointNet over each group of neighbours, and of its centre's embedding."""

    modality: Literal[Modality.POINTCLOUD] = Modality.POINTCLOUD
    groups: int = 64
    widths: tuple[int, int] = (64, 128)

    def build(self, width: int) -> PointCloudTokenizer:
        """Return a tokenizer of these sizes."""
        return PointCloudTokenizer(self, width)


class FourierFeatures(nn.Module):
    """Coordinates, their sines and cosines at doubling frequencies from half a wave per unit."""

    frequencies: Tensor
    outputs = 3 * (1 + 2 * _OCTAVES)

    def __init__(self) -> None:
        super().__init__()
        frequencies = math.pi * 2.0 ** torch.arange(_OCTAVES)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, places: Tensor) -> Tensor:
        """Expand coordinates in -1..1, (..., 3) -> (..., ``outputs``)."""
        angles = (places[..., None] * self.frequencies).flatten(-2)
        return torch.cat([places, angles.sin(), angles.cos()], dim=-1)


class PointCloudTokenizer(Tokenizer):
    """``groups`` float32 (B, G, K, 3) relative to ``centres`` float32 (B, G, 3)."""

    def __init__(self, config: PointCloudTokenizerConfig, width: int) -> None:
        super().__init__(width)
        narrow, wide = config.widths
        self.point = nn.Sequential(nn.Linear(3, narrow), nn.GELU(), nn.Linear(narrow, wide))
        self.group = nn.Sequential(nn.Linear(2 * wide, wide), nn.GELU(), nn.Linear(wide, wide))
        self.project = nn.Linear(wide, width)
        self.centre = nn.Sequential(
            FourierFeatures(),
            nn.Linear(FourierFeatures.outputs, 2 * wide),
            nn.GELU(),
            nn.Linear(2 * wide, width),
        )

    def forward(self, inputs: Inputs) -> Tokens:
        """Make one token per group; the order of its points does not matter."""
        points = self.point(inputs["groups"] * GROUP_GAIN)
        summary = points.amax(dim=2, keepdim=True).expand_as(points)
        grouped = self.group(F.gelu(torch.cat([points, summary], dim=-1))).amax(dim=2)
        return self.finish(self.project(grouped) + self.centre(inputs["centres"]))
