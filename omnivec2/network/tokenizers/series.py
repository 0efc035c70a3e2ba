"""Signals cut into runs: time series, IMU recordings, and spectra."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.layers import GridPositions, Tokens
from omnivec2.network.tokenizers.base import Inputs, StandardUnitsTokenizer, TokenizerConfig
from omnivec2.spec import Modality


class TimeSeriesTokenizerConfig(TokenizerConfig):
    """Sizes of overlapping patches of an instance-normalised series (PatchTST)."""

    modality: Literal[Modality.TIMESERIES] = Modality.TIMESERIES
    context_length: int = 336
    patch: int = 16
    stride: int = 8

    @property
    def tokens(self) -> int:
        """Patches of one series, with the one that the repeated last value fills up."""
        return (self.context_length - self.patch) // self.stride + 2

    @property
    def own_widths(self) -> dict[str, int]:
        """The series in its own units, and mean and deviation."""
        return {"raw": self.context_length + 2}

    def build(self, width: int) -> TimeSeriesTokenizer:
        """Return a tokenizer of these sizes."""
        return TimeSeriesTokenizer(self, width)


class TimeSeriesTokenizer(StandardUnitsTokenizer):
    """``values`` float32 (B, context): one channel of a series, in its own units.

    Instance normalisation (RevIN without its affine) and patches of PatchTST; the last
    value is repeated ``stride`` times so that the newest samples start a patch too.
    Location, scale and the normalised series bypass the trunk to the forecasting head.
    """

    def __init__(self, config: TimeSeriesTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.patch, self.stride = config.patch, config.stride
        self.count = config.tokens
        self.project = nn.Linear(config.patch, width)
        self.positions = GridPositions((self.count,), width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Normalise each series by itself, cut it into patches and project them."""
        location, scale, series = self.normalised(inputs["values"])
        tokens = self.finish(self.project(self.patches(series)) + self.positions((self.count,)))
        tokens.extras = {"location": location, "scale": scale, "series": series}
        return tokens

    def raw(self, inputs: Inputs) -> Tensor:
        """Return the normalised series, and its mean and log deviation."""
        location, scale, series = self.normalised(inputs["values"])
        return torch.cat([series, location, scale.log()], dim=1)

    @staticmethod
    def normalised(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean and deviation of each series, (B, 1), and the series in these units."""
        location = values.mean(dim=1, keepdim=True)
        centred = values - location
        scale = torch.sqrt((centred * centred).mean(dim=1, keepdim=True) + 1e-8)
        return location, scale, centred / scale

    def patches(self, series: Tensor) -> Tensor:
        """Cut (B, context) into overlapping patches: (B, tokens, patch)."""
        padded = torch.cat([series, series[:, -1:].expand(-1, self.stride)], dim=1)
        return padded.unfold(1, self.patch, self.stride)


class ImuTokenizerConfig(TokenizerConfig):
    """Sizes of short runs of samples over all channels, scaled per channel."""

    modality: Literal[Modality.IMU] = Modality.IMU
    window: int = 64
    channels: int = 9
    patch: int = 8

    @property
    def own_widths(self) -> dict[str, int]:
        """Every sample of every channel."""
        return {"raw": self.window * self.channels}

    def build(self, width: int) -> ImuTokenizer:
        """Return a tokenizer of these sizes."""
        return ImuTokenizer(self, width)


class ImuTokenizer(StandardUnitsTokenizer):
    """``signal`` float32 (B, window, channels) in raw units, scaled per channel here."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImuTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.patch = config.patch
        self.count = config.window // config.patch
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("std", torch.ones(config.channels))
        self.project = nn.Linear(config.patch * config.channels, width)
        self.positions = GridPositions((self.count,), width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Make one token per run of samples over all channels."""
        runs = self.runs(inputs["signal"])
        return self.finish(self.project(runs) + self.positions((self.count,)))

    def raw(self, inputs: Inputs) -> Tensor:
        """Return the samples of all channels in deviations."""
        return self.runs(inputs["signal"]).flatten(1)

    def runs(self, signal: Tensor) -> Tensor:
        """Scale each channel and cut, (B, window, channels) -> (B, tokens, patch * channels)."""
        scaled = (signal - self.mean) / self.std
        return scaled.reshape(scaled.shape[0], self.count, -1)


class HyperspectralTokenizerConfig(TokenizerConfig):
    """Sizes of groups of neighbouring bands of a pixel's neighbourhood (SpectralFormer)."""

    modality: Literal[Modality.HYPERSPECTRAL] = Modality.HYPERSPECTRAL
    bands: int = 204
    window: int = 7
    band_group: int = 12

    @property
    def own_widths(self) -> dict[str, int]:
        """The spectrum of the pixel, and the mean spectrum of its neighbourhood."""
        return {"raw": 2 * self.bands}

    def build(self, width: int) -> HyperspectralTokenizer:
        """Return a tokenizer of these sizes."""
        return HyperspectralTokenizer(self, width)


class HyperspectralTokenizer(StandardUnitsTokenizer):
    """``window`` float32 (B, 7, 7, bands): a pixel's neighbourhood in sensor values.

    Per-band scaling is frozen from training. Each group of neighbouring bands makes one
    token from the centre's spectrum and its surroundings. Neighbours without data (zero in
    every band) take the centre's spectrum: holes would outweigh all differences between crops.
    """

    low: Tensor
    span: Tensor

    def __init__(self, config: HyperspectralTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.group = config.band_group
        self.count = -(-config.bands // config.band_group)
        self.padding = self.count * config.band_group - config.bands
        self.register_buffer("low", torch.zeros(config.bands))
        self.register_buffer("span", torch.ones(config.bands))
        self.project = nn.Linear(config.window**2 * config.band_group, width)
        self.positions = GridPositions((self.count,), width)

    def forward(self, inputs: Inputs) -> Tokens:
        """Fill holes, scale to -1..1, group bands and project each group."""
        groups = self.groups(inputs["window"])
        return self.finish(self.project(groups) + self.positions((self.count,)))

    def raw(self, inputs: Inputs) -> Tensor:
        """Return the spectrum of the pixel in the middle, and the mean of its neighbourhood."""
        scaled = self.scaled(inputs["window"])
        middle = scaled.shape[1] // 2
        return torch.cat([scaled[:, middle, middle], scaled.mean(dim=(1, 2))], dim=1)

    def scaled(self, window: Tensor) -> Tensor:
        """Fill holes and scale to -1..1, (B, 7, 7, bands)."""
        middle = slice(window.shape[1] // 2, window.shape[1] // 2 + 1)
        measured = (window != 0).any(dim=3, keepdim=True)
        window = torch.where(measured, window, window[:, middle, middle])
        return (window - self.low) / self.span * 2.0 - 1.0

    def groups(self, window: Tensor) -> Tensor:
        """Fill, scale and group, (B, 7, 7, bands) -> (B, tokens, 7 * 7 * bands of a group)."""
        scaled = self.scaled(window)
        scaled = F.pad(scaled, (0, self.padding))
        groups = scaled.reshape(*scaled.shape[:3], self.count, self.group).permute(0, 3, 1, 2, 4)
        return groups.flatten(2)
