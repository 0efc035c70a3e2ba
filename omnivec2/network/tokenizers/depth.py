"""Depth: tubelets of distance and silhouette, and of the changes of both.

Clips of one camera differ little: most of every frame is the same wall. The channels that an
action shows in are scaled to about 1, so that what all clips share does not drown them.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from omnivec2.network.layers import GridPositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.spec import Modality

RANGE_MM = 4080.0
_GAINS = (5.0, 2.0, 100.0, 6.0)
"""Factors for distance, silhouette and their changes: each then has a deviation of about 1."""


class DepthTokenizerConfig(TokenizerConfig):
    """Sizes of tubelets of depth, silhouette and their motion, at a lower resolution."""

    modality: Literal[Modality.DEPTH] = Modality.DEPTH
    frames: int = 16
    height: int = 64
    width: int = 80
    pooling: int = Field(default=4, description="pixels per side that are averaged first")
    tubelet: tuple[int, int, int] = Field(
        default=(2, 8, 10), description="frames x rows x columns of pooled pixels in one token"
    )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns."""
        t, p, q = self.tubelet
        return (
            self.frames // t,
            self.height // self.pooling // p,
            self.width // self.pooling // q,
        )

    def build(self, width: int) -> DepthTokenizer:
        """Return a tokenizer of these sizes."""
        return DepthTokenizer(self, width)


class DepthTokenizer(Tokenizer):
    """``depth`` uint16 (B, T, H, W) in millimetres, 0 where nothing was measured."""

    def __init__(self, config: DepthTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.pooling, self.tubelet, self.grid = config.pooling, config.tubelet, config.grid
        t, p, q = config.tubelet
        self.project = nn.Linear(len(_GAINS) * t * p * q, width)
        self.positions = GridPositions(config.grid, width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Make channels, average them, cut tubelets and project these."""
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
        """Return distance and silhouette, and how both differ from the mean over the clip.

        The difference from a pixel's mean over the clip removes everything that does not move.

        Args:
            millimetres: The depth, (B, T, H, W).

        Returns:
            The four channels, (B, T, 4, H, W).
        """
        seen = (millimetres > 0).to(millimetres.dtype)
        distance = (millimetres.clamp(max=RANGE_MM) / (RANGE_MM / 2) - 1.0) * seen
        often = seen.sum(dim=1, keepdim=True).clamp(min=1.0)
        change = (distance - distance.sum(dim=1, keepdim=True) / often) * seen
        appearing = seen - seen.mean(dim=1, keepdim=True)
        parts = (distance, seen, change, appearing)
        return torch.stack([part * gain for part, gain in zip(parts, _GAINS, strict=True)], dim=2)
