"""Image, video, depth, X-ray, infrared and audio: frames through a stem, then tubelets."""

from __future__ import annotations

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
"""Mean and deviation of AudioSet's log-mel filter banks (Gong et al., AST, 2021)."""
DEPTH_RANGE_MM = 4080.0


class VisualTokenizer(Tokenizer):
    """Frames (B, T, channels, h, w) -> stem cells -> tubelet tokens with positions."""

    channels = 3

    def __init__(self, config: VisualTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.stem = Stem(self.channels, config.stem_blocks)
        self.tubelet = config.tubelet
        t, p, q = config.tubelet
        self.project = nn.Linear(self.stem.channels_out * t * p * q, width)
        self.positions = GridPositions(config.grid, width)

    def tokens_of(self, frames: Tensor) -> Tokens:
        """Normalised frames (B, T, C, h, w) -> tokens, row-major over (time, row, column)."""
        batch, count = frames.shape[:2]
        cells = self.stem(frames.flatten(0, 1))
        t, p, q = self.tubelet
        channels, rows, columns = cells.shape[1:]
        grid = (count // t, rows // p, columns // q)
        # (B, T/t, t, C, r, p, c, q) -> (B, T/t, r, c, t, C, p, q)
        cells = cells.reshape(batch, grid[0], t, channels, grid[1], p, grid[2], q)
        cells = cells.permute(0, 1, 4, 6, 2, 3, 5, 7).reshape(
            batch, grid[0] * grid[1] * grid[2], t * channels * p * q
        )
        return self.finish(self.project(cells) + self.positions(grid))


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
        """uint8 (..., H, W, 3) -> normalised float (..., 3, H, W)."""
        return (pixels.movedim(-1, -3).to(self.mean.dtype) / 255.0 - self.mean) / self.std

    def forward(self, inputs: Inputs) -> Tokens:
        """An image is a single frame."""
        return self.tokens_of(self.frames(inputs["pixels"])[:, None])


class VideoTokenizer(ImageTokenizer):
    """``frames`` uint8 (B, T, H, W, 3)."""

    def forward(self, inputs: Inputs) -> Tokens:
        """All frames share the stem."""
        return self.tokens_of(self.frames(inputs["frames"]))


class GrayTokenizer(VisualTokenizer):
    """``pixels`` uint8 (B, H, W, 1): X-ray and infrared."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """One channel, scaled to -1..1."""
        pixels = inputs["pixels"].movedim(-1, -3).to(self.cls.dtype)
        return self.tokens_of(((pixels / 255.0 - GRAY_MEAN) / GRAY_STD)[:, None])


class AudioTokenizer(VisualTokenizer):
    """``fbank`` float32 (B, frames, mel): a log-mel spectrogram as a one-channel image."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """AudioSet's normalisation, by two deviations as in AST."""
        fbank = (inputs["fbank"] - AUDIOSET_MEAN) / (2 * AUDIOSET_STD)
        return self.tokens_of(fbank[:, None, None])


class DepthTokenizer(VisualTokenizer):
    """``depth`` uint16 (B, T, H, W) in millimetres, 0 where nothing was measured.

    The stem's three channels are the depth, its change since the frame before (what an
    action is made of), and whether there was a measurement.
    """

    def forward(self, inputs: Inputs) -> Tokens:
        """Scale to -1..1, difference, validity."""
        millimetres = inputs["depth"].to(self.cls.dtype)
        valid = (millimetres > 0).to(millimetres.dtype)
        depth = (millimetres.clamp(max=DEPTH_RANGE_MM) / (DEPTH_RANGE_MM / 2) - 1.0) * valid
        both = valid[:, 1:] * valid[:, :-1]
        # A hand moves a few hundred millimetres between frames: bring that to about one.
        change = (depth[:, 1:] - depth[:, :-1]) * both * 5.0
        change = torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)
        return self.tokens_of(torch.stack([depth, change, valid], dim=2))
