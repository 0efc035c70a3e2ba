"""Image, video, X-ray, infrared and audio: frames to cells, by a stem or cut, then tubelets."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from omnivec2.network.layers import GridPositions, TablePositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.network.tokenizers.stem import (
    LATER_BLOCKS,
    SHARED_BLOCKS,
    STRIDE,
    DeepBlocks,
    PatchCells,
    Stem,
    deep_places,
)
from omnivec2.spec import Modality

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRAY_MEAN, GRAY_STD = 0.5, 0.5
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
"""The mean and deviation of AudioSet's log-mel filter banks (Gong et al., AST, 2021)."""


DEEP = "deep"
"""The summary of :class:`DeepBlocks`."""

Grid = tuple[int, int, int]
Cells = Literal["convolutional", "patches"]
"""How a frame becomes cells: by a convolutional stem, or cut into the plain patches of a ViT."""


class VisualTokenizerConfig(TokenizerConfig):
    """Sizes of the cells that frames are cut into, and of the tubelets of their grid."""

    modality: Literal[
        Modality.IMAGE, Modality.VIDEO, Modality.XRAY, Modality.INFRARED, Modality.AUDIO,
    ]  # fmt: skip
    stem: Cells = Field(
        default="convolutional",
        description="convolutional (stride 16, EfficientNet-Lite0), or a ViT's plain patches",
        exclude_if=lambda value: value == "convolutional",
    )
    stem_blocks: int = Field(default=11, description="blocks kept of EfficientNet-Lite0 (6-11)")
    deep_blocks: int = Field(
        default=0,
        description="further blocks of EfficientNet-Lite0 (5-8) for heads with the summary deep",
        exclude_if=lambda value: value == 0,
    )
    patch: int = Field(
        default=STRIDE,
        gt=0,
        description="patches: side in pixels",
        exclude_if=lambda value: value == STRIDE,
    )
    tubelet: Grid = Field(
        default=(1, 1, 1), description="frames x rows x columns of cells in one token"
    )
    grid: Grid = Field(
        description="largest frames x rows x columns of tokens, for the position tables"
    )
    positions: tuple[int, int] | None = Field(
        default=None,
        description="patches: rows x columns of the position table, where not those of the grid; "
        "it is interpolated to the grid of a picture",
        exclude_if=lambda value: value is None,
    )
    token_norm: bool = Field(
        default=True,
        description="end in a LayerNorm, as a post-norm trunk expects; a ViT's trunk has its own",
        exclude_if=lambda value: value,
    )

    @property
    def stride(self) -> int:
        """The side of a cell, in pixels."""
        return self.patch if self.stem == "patches" else STRIDE

    @property
    def own_widths(self) -> dict[str, int]:
        """The size of ``deep``, if there are blocks for it."""
        return {DEEP: LATER_BLOCKS[-1][1]} if self.deep_blocks else {}

    @model_validator(mode="after")
    def _deep_blocks_follow_a_stem(self) -> Self:
        has_stem = self.stem == "convolutional" and self.stem_blocks >= SHARED_BLOCKS
        if self.deep_blocks and not (has_stem and self.modality is Modality.IMAGE):
            raise ValueError(
                f"deep_blocks follow {SHARED_BLOCKS} blocks of an image's convolutional stem"
            )
        if self.deep_blocks:
            deep_places(self.deep_blocks)
        return self

    def grid_of(self, frames: Grid) -> Grid:
        """Return the frames, rows and columns of tokens of frames x height x width in pixels."""
        t, p, q = self.tubelet
        count, height, width = frames
        return count // t, height // (self.stride * p), width // (self.stride * q)

    def combined_with(self, other: object) -> VisualTokenizerConfig:
        """Return sizes with position tables for the larger grid of both."""
        if not isinstance(other, VisualTokenizerConfig):
            return self
        grid = tuple(max(a, b) for a, b in zip(self.grid, other.grid, strict=True))
        return self.model_copy(update={"grid": grid})

    def build(self, width: int) -> VisualTokenizer:
        """Return the tokenizer of the modality, of these sizes."""
        match self.modality:
            case Modality.IMAGE:
                return ImageTokenizer(self, width)
            case Modality.VIDEO:
                return VideoTokenizer(self, width)
            case Modality.AUDIO:
                return AudioTokenizer(self, width)
            case Modality.XRAY | Modality.INFRARED:
                return GrayTokenizer(self, width)


class VisualTokenizer(Tokenizer):
    """A tokenizer of frames: they become cells, and tubelets of cells make tokens."""

    channels = 3

    def __init__(self, config: VisualTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.tubelet, self.stride = config.tubelet, config.stride
        self.positions: GridPositions | TablePositions
        self.stem: Stem | PatchCells
        if config.stem == "patches":
            frames, *places = config.grid
            sizes = config.positions or (places[0], places[1])
            self.stem = PatchCells(self.channels, config.patch)
            self.positions = TablePositions(sizes, frames, width)
        else:
            self.stem = Stem(self.channels, config.stem_blocks)
            self.positions = GridPositions(config.grid, width)
        self.project = nn.Linear(self.features(), width)
        if not config.token_norm:
            self.norm = nn.Identity()

    def features(self) -> int:
        """Return how many numbers ``describe`` gives per tubelet."""
        return self.stem.channels_out * math.prod(self.tubelet)

    def tokens_of(self, frames: Tensor) -> Tokens:
        """Make tokens of normalised frames (B, T, C, h, w), row-major over (time, row, column)."""
        return self.tokens_of_cells(self.stem(frames.flatten(0, 1)), frames.shape[1])

    def tokens_of_cells(self, cells: Tensor, count: int) -> Tokens:
        """Make tokens of the cells (B * count, C, rows, columns) of ``count`` frames each."""
        batch = cells.shape[0] // count
        t, p, q = self.tubelet
        channels, rows, columns = cells.shape[1:]
        grid = (count // t, rows // p, columns // q)
        # (B, T/t, t, C, r, p, c, q) -> (B, T/t, r, c, t, C, p, q)
        cells = cells.reshape(batch, grid[0], t, channels, grid[1], p, grid[2], q)
        cells = cells.permute(0, 1, 4, 6, 2, 3, 5, 7)
        described = self.describe(cells).reshape(batch, math.prod(grid), self.features())
        return self.finish(self.project(described) + self.positions(grid))

    def describe(self, cells_BTRCtcpq: Tensor) -> Tensor:
        """Return the numbers of a tubelet that are projected: all of its cells."""
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
        self.has_deep_blocks = config.deep_blocks > 0
        if self.has_deep_blocks:
            self.deep = DeepBlocks(config.deep_blocks)

    def frames(self, pixels: Tensor) -> Tensor:
        """Normalise pixels, uint8 (..., H, W, 3) -> float (..., 3, H, W)."""
        return (pixels.movedim(-1, -3).to(self.mean.dtype) / 255.0 - self.mean) / self.std

    def forward(self, inputs: Inputs) -> Tokens:
        """Make the tokens of a single frame."""
        return self.tokens_of(self.frames(inputs["pixels"])[:, None])

    def forward_own(self, inputs: Inputs) -> Tokens:
        """Make the tokens of a single frame, and hand out ``deep``; they share the stem's start."""
        if not self.has_deep_blocks:
            return super().forward_own(inputs)
        assert isinstance(self.stem, Stem)
        earlier = self.stem.earlier(self.frames(inputs["pixels"]))
        tokens = self.tokens_of_cells(self.stem.later(earlier), 1)
        tokens.extras[DEEP] = self.deep(earlier)
        return tokens


class VideoTokenizer(ImageTokenizer):
    """``frames`` uint8 (B, T, H, W, 3): the mean content of a tubelet, and how much it moves.

    Averages over a tubelet have an eighth of the cells' numbers, and a few hundred clips are
    enough to learn from the absolute change between its frames. Plain patches keep all pixels.
    """

    def features(self) -> int:
        """Return two numbers per channel of the stem: a mean and a mean change."""
        if isinstance(self.stem, PatchCells):
            return super().features()
        return 2 * self.stem.channels_out

    def forward(self, inputs: Inputs) -> Tokens:
        """Make the tokens of all frames, which share the stem."""
        return self.tokens_of(self.frames(inputs["frames"]))

    def describe(self, cells_BTRCtcpq: Tensor) -> Tensor:
        """Return the mean cell of a tubelet, and the mean absolute change between frames."""
        if isinstance(self.stem, PatchCells):
            return super().describe(cells_BTRCtcpq)
        mean = cells_BTRCtcpq.mean(dim=(4, 6, 7))
        first, later = cells_BTRCtcpq[..., :-1, :, :, :], cells_BTRCtcpq[..., 1:, :, :, :]
        return torch.cat([mean, (later - first).abs().mean(dim=(4, 6, 7))], dim=-1)


class GrayTokenizer(VisualTokenizer):
    """``pixels`` uint8 (B, H, W, 1): X-ray and infrared."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """Scale the one channel to -1..1 and make its tokens."""
        pixels = inputs["pixels"].movedim(-1, -3).to(self.cls.dtype)
        return self.tokens_of(((pixels / 255.0 - GRAY_MEAN) / GRAY_STD)[:, None])


class AudioTokenizer(VisualTokenizer):
    """``fbank`` float32 (B, frames, mel): a log-mel spectrogram as a one-channel image."""

    channels = 1

    def forward(self, inputs: Inputs) -> Tokens:
        """Normalise with AudioSet's constants, by two deviations as in AST, and make tokens."""
        fbank = (inputs["fbank"] - AUDIOSET_MEAN) / (2 * AUDIOSET_STD)
        return self.tokens_of(fbank[:, None, None])
