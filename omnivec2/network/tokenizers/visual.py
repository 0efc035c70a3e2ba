"""Image, video, X-ray, infrared and audio: frames through a stem, then tubelets."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from omnivec2.network.config import VisualTokenizerConfig
from omnivec2.network.layers import GridPositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer
from omnivec2.network.tokenizers.stem import Stem

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRAY_MEAN, GRAY_STD = 0.5, 0.5
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
"""The mean and deviation of AudioSet's log-mel filter banks (Gong et al., AST, 2021)."""


class VisualTokenizer(Tokenizer):
    """Frames (B, T, channels, h, w) -> stem cells -> tubelet tokens with positions."""

    channels = 3

    def __init__(self, config: VisualTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.stem = Stem(self.channels, config.stem_blocks)
        self.tubelet = config.tubelet
        self.project = nn.Linear(self.features(), width)
        self.positions = GridPositions(config.grid, width)

    def features(self) -> int:
        """Return the number of values that ``describe`` gives per tubelet."""
        return self.stem.channels_out * math.prod(self.tubelet)

    def tokens_of(self, frames: Tensor) -> Tokens:
        """Turn normalised frames (B, T, C, h, w) into tokens, row-major over time, row, column."""
        batch, count = frames.shape[:2]
        cells = self.stem(frames.flatten(0, 1))
        t, p, q = self.tubelet
        channels, rows, columns = cells.shape[1:]
        grid = (count // t, rows // p, columns // q)
        # (B, T/t, t, C, r, p, c, q) -> (B, T/t, r, c, t, C, p, q)
        cells = cells.reshape(batch, grid[0], t, channels, grid[1], p, grid[2], q)
        cells = cells.permute(0, 1, 4, 6, 2, 3, 5, 7)
        described = self.describe(cells).reshape(batch, math.prod(grid), self.features())
        return self.finish(self.project(described) + self.positions(grid))

    def describe(self, cells_BTRCtcpq: Tensor) -> Tensor:
        """Return the projection's input from a tubelet's cells: all of them."""
        return cells_BTRCtcpq


def _channel_buffer(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1)


class ImageTokenizer(VisualTokenizer):
    """``pixels`` uint8 (B, H, W, 3); ImageNet mean and deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisualTokenizerConfig, width: int) -> None:
        super().__init__(config, width)
        self.register_buffer("mean", _channel_buffer(IMAGENET_MEAN))
        self.register_buffer("std", _channel_buffer(IMAGENET_STD))

    def frames(self, pixels: Tensor) -> Tensor:
        """Normalise pixels: uint8 (..., H, W, 3) -> float (..., 3, H, W)."""
        return (pixels.movedim(-1, -3).to(self.mean.dtype) / 255.0 - self.mean) / self.std

    def forward(self, inputs: Inputs) -> Tokens:
        """Tokenize an image as a single frame."""
        return self.tokens_of(self.frames(inputs["pixels"])[:, None])


class VideoTokenizer(ImageTokenizer):
    """``frames`` uint8 (B, T, H, W, 3): the mean content of a tubelet, and its motion.

    Averages over a tubelet have an eighth of the cells' numbers, and a few hundred clips
    suffice to learn from the absolute change between its frames.
    """

    def features(self) -> int:
        """Return two per channel of the stem: a mean and a mean change."""
        return 2 * self.stem.channels_out

    def forward(self, inputs: Inputs) -> Tokens:
        """Tokenize all frames with one stem."""
        return self.tokens_of(self.frames(inputs["frames"]))

    def describe(self, cells_BTRCtcpq: Tensor) -> Tensor:
        """Return a tubelet's mean cell, and its mean absolute change from frame to frame."""
        mean = cells_BTRCtcpq.mean(dim=(4, 6, 7))
        first, later = cells_BTRCtcpq[..., :-1, :, :, :], cells_BTRCtcpq[..., 1:, :, :, :]
        return torch.cat([mean, (later - first).abs().mean(dim=(4, 6, 7))], dim=-1)


class GrayTokenizer(VisualTokenizer):
    """``pixels`` uint8 (B, H, W, 1): X-ray and infrared."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """Tokenize one channel, scaled to -1..1."""
        pixels = inputs["pixels"].movedim(-1, -3).to(self.cls.dtype)
        return self.tokens_of(((pixels / 255.0 - GRAY_MEAN) / GRAY_STD)[:, None])


class AudioTokenizer(VisualTokenizer):
    """``fbank`` float32 (B, frames, mel): a log-mel spectrogram as a one-channel image."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """Normalise by AudioSet's mean and two of its deviations, as in AST, and tokenize."""
        fbank = (inputs["fbank"] - AUDIOSET_MEAN) / (2 * AUDIOSET_STD)
        return self.tokens_of(fbank[:, None, None])
