"""Point clouds: a mini-PointNet over each group, plus an embedding of its centre.

Source: Point-BERT (Yu et al., 2022), narrower and without batch normalisation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from omnivec2.network.config import PointCloudTokenizerConfig
from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer


class PointCloudTokenizer(Tokenizer):
    """``groups`` float32 (B, G, K, 3) relative to ``centres`` float32 (B, G, 3)."""

    def __init__(self, config: PointCloudTokenizerConfig, width: int) -> None:
        super().__init__(width)
        narrow, wide = config.widths
        self.point = nn.Sequential(nn.Linear(3, narrow), nn.GELU(), nn.Linear(narrow, wide))
        self.group = nn.Sequential(nn.Linear(2 * wide, wide), nn.GELU(), nn.Linear(wide, wide))
        self.project = nn.Linear(wide, width)
        self.centre = nn.Sequential(nn.Linear(3, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, inputs: Inputs) -> Tokens:
        """One token per group, indifferent to the order of its points."""
        # Neighbours lie within a tenth of the unit sphere: bring them to about one.
        points = self.point(inputs["groups"] * 10.0)
        summary = points.amax(dim=2, keepdim=True).expand_as(points)
        grouped = self.group(F.gelu(torch.cat([points, summary], dim=-1))).amax(dim=2)
        return self.finish(self.project(grouped) + self.centre(inputs["centres"]))
