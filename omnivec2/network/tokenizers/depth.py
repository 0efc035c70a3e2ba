"""Depth: tubelets of distance and silhouette, and of the changes of both.

Clips of one camera differ little: most of every frame is the same wall. The channels that
carry the action are scaled to about one, so that the shared background does not drown them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.config import DepthTokenizerConfig
from omnivec2.network.layers import GridPositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer

RANGE_MM = 4080.0
_GAINS = (5.0, 2.0, 100.0, 6.0)
"""Gains of distance, silhouette and their changes: each gets a deviation of about one."""


class DepthTokenizer(Tokenizer):
    """``depth`` uint16 (B, T, H, W) in millimetres, 0 where nothing was measured."""

    def __init__(self, config: DepthTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.pooling, self.tubelet, self.grid = config.pooling, config.tubelet, config.grid
        t, p, q = config.tubelet
        self.project = nn.Linear(len(_GAINS) * t * p * q, width)
        self.positions = GridPositions(config.grid, width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Compute the channels, pool them, cut tubelets and project each."""
        channels = self.channels(inputs["depth"].to(self.cls.dtype))
        pooled = F.avg_pool2d(channels.flatten(0, 1), self.pooling)
        (t, p, q), (frames, rows, columns) = self.tubelet, self.grid
        # (B, T', t, C, r, p, c, q) -> (B, T', r, c, t, C, p, q)
        cells = pooled.reshape(-1, frames, t, len(_GAINS), rows, p, columns, q)
        cells = cells.permute(0, 1, 4, 6, 2, 3, 5, 7)
        tubelets = cells.reshape(-1, frames * rows * columns, t * len(_GAINS) * p * q)
        return self.finish(self.project(tubelets) + self.positions(self.grid))

    @staticmethod
    def channels(millimetres: Tensor) -> Tensor:
        """Compute distance, silhouette and the change of both: (B, T, H, W) -> (B, T, 4, H, W).

        The change is the difference from a pixel's mean over the clip, which removes all that
        stands still.
        """
        seen = (millimetres > 0).to(millimetres.dtype)
        distance = (millimetres.clamp(max=RANGE_MM) / (RANGE_MM / 2) - 1.0) * seen
        often = seen.sum(dim=1, keepdim=True).clamp(min=1.0)
        change = (distance - distance.sum(dim=1, keepdim=True) / often) * seen
        appearing = seen - seen.mean(dim=1, keepdim=True)
        parts = (distance, seen, change, appearing)
        return torch.stack([part * gain for part, gain in zip(parts, _GAINS, strict=True)], dim=2)
