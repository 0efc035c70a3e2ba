"""Heads: a linear map, ViT-Tiny blocks, then the output layer of the task's family.

Output names and shapes are those of the head specs (see ``omnivec2.spec``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import NONE_OF_ITS_OWN, FullyConnectedHead
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import Pool, Tokens, Transformer, masked_mean
from omnivec2.network.summarization import Summarization
from omnivec2.spec import TaskFamily

Outputs = dict[str, Tensor]


class Head(nn.Module):
    """A linear map to ViT-Tiny's width, its blocks, and the family's output layer."""

    def __init__(self, output: nn.Module, width: int, blocks: TransformerConfig) -> None:
        super().__init__()
        self.project = nn.Linear(width, blocks.width)
        self.blocks = Transformer(blocks, norm="pre")
        self.output = output

    def forward(self, features: Tokens) -> Outputs:
        """Map features (B, N, g width) to named outputs."""
        x = self.blocks(self.project(features.x_BND), features.mask_BN)
        return self.output(features.with_x(x))


class Classification(nn.Module):
    """``logits`` (B, classes), from the CLS and the mean token."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.pool = Pool()
        self.linear = nn.Linear(2 * width, config.outputs)

    def forward(self, tokens: Tokens) -> Outputs:
        """Pool and classify."""
        return {"logits": self.linear(self.pool(tokens))}


class Regression(nn.Module):
    """``values`` (B, targets) in real units; location and scale are the training set's."""

    location: Tensor
    scale: Tensor

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.pool = Pool()
        self.linear = nn.Linear(2 * width, config.outputs)
        self.register_buffer("location", torch.zeros(config.outputs))
        self.register_buffer("scale", torch.ones(config.outputs))

    def forward(self, tokens: Tokens) -> Outputs:
        """Pool, regress, and undo the targets' standardisation."""
        return {"values": self.linear(self.pool(tokens)) * self.scale + self.location}


class Forecasting(nn.Module):
    """``mean`` (B, horizon), and ``quantiles`` (B, quantiles, horizon) if the head has any.

    A linear map of all tokens (PatchTST) corrects a linear map of the series itself (the
    global residual of TiDE, Das et al., 2023), which is hard to beat and starts from its
    least-squares fit. Both work in the tokenizer's instance normalisation, which is undone
    with the location and scale it hands over, so answers are in the units of the input.
    Quantiles never cross: each is the one below it plus a distance that is positive.
    """

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.horizon = config.outputs
        self.quantiles = config.quantiles
        steps = config.outputs * (1 + config.quantiles)
        self.linear = nn.Linear(config.tokens * width, steps)
        self.residual = nn.Linear(config.context, steps)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tokens) -> Outputs:
        """Flatten the tokens (CLS left out), correct the residual, denormalise."""
        flat = tokens.x_BND[:, 1:].flatten(1)
        y = self.residual(tokens.extras["series"]) + self.linear(flat)
        y = y.reshape(-1, 1 + self.quantiles, self.horizon)
        if self.quantiles > 1:
            steps = [y[:, 1], *F.softplus(y[:, 2:]).unbind(dim=1)]
            y = torch.stack([y[:, 0], *accumulate(steps)], dim=1)
        y = y * tokens.extras["scale"][:, :, None] + tokens.extras["location"][:, :, None]
        outputs = {"mean": y[:, 0]}
        if self.quantiles:
            outputs["quantiles"] = y[:, 1:]
        return outputs


class Detection(nn.Module):
    """``logits`` (B, Q, classes + 1; last = no object) and ``boxes`` (B, Q, 4) cxcywh in 0..1.

    YOLOS with the patch tokens themselves as detection tokens, each anchored at its cell:
    matched one to one with objects, so no NMS; free detection tokens need far more data.
    """

    anchors: Tensor

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        if config.grid is None:
            raise ValueError("a detection head needs the grid of its tokens")
        self.classify = nn.Linear(width, config.outputs + 1)
        self.locate = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        rows, columns = config.grid
        y, x = torch.meshgrid(
            (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns,
            indexing="ij",
        )  # fmt: skip
        size = torch.full((rows * columns,), 0.15)  # a common object: a seventh of the side
        anchors = torch.stack([x.flatten(), y.flatten(), size, size], dim=1)
        self.register_buffer("anchors", torch.logit(anchors))
        # Start from "almost surely no object", as in focal-loss detectors.
        with torch.no_grad():
            self.classify.bias[-1] = 3.0

    def forward(self, tokens: Tokens) -> Outputs:
        """Predict one box and one class distribution per cell."""
        x = tokens.x_BND[:, 1:]
        return {"logits": self.classify(x), "boxes": torch.sigmoid(self.anchors + self.locate(x))}


class TokenMaps(nn.Module):
    """The base of what answers with maps: (B, outputs, rows x upsample, columns x upsample)."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        if config.grid is None:
            raise ValueError("a head that answers with maps needs the grid of its tokens")
        self.grid = config.grid
        self.upsample = config.upsample
        channels = 32
        self.expand = nn.Linear(width, channels * config.upsample**2)
        self.refine = nn.Conv2d(channels, channels, 3, padding=1)
        self.classify = nn.Conv2d(channels, config.outputs, 1)

    def maps(self, tokens: Tokens) -> Tensor:
        """Expand each token into its own cells; a convolution smooths the seams."""
        x = self.expand(tokens.x_BND[:, 1:])
        x = x.transpose(1, 2).reshape(x.shape[0], -1, *self.grid)
        x = F.pixel_shuffle(x, self.upsample)
        maps: Tensor = self.classify(F.gelu(x + self.refine(x)))
        return maps


class TokenSegmentation(TokenMaps):
    """``logits`` (B, classes, rows x upsample, columns x upsample) of a grid of tokens."""

    def forward(self, tokens: Tokens) -> Outputs:
        """Classify every cell."""
        return {"logits": self.maps(tokens)}


class MapRegression(TokenMaps):
    """``values`` (B, targets, rows x upsample, columns x upsample) in real units."""

    location: Tensor
    scale: Tensor

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__(config, width)
        self.register_buffer("location", torch.zeros(config.outputs))
        self.register_buffer("scale", torch.ones(config.outputs))

    def forward(self, tokens: Tokens) -> Outputs:
        """Predict every cell, and undo the targets' standardisation."""
        scale, location = (b[:, None, None] for b in (self.scale, self.location))
        return {"values": self.maps(tokens) * scale + location}


class GroupSegmentation(nn.Module):
    """``logits`` (B, groups, classes): points take the answer of their nearest group."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, config.outputs)

    def forward(self, tokens: Tokens) -> Outputs:
        """Classify every token but CLS."""
        return {"logits": self.linear(tokens.x_BND[:, 1:])}


class SeriesAnomaly(nn.Module):
    """``logits`` (B, 1): the logarithm of the error of a series rebuilt from a few numbers.

    An autoencoder that has seen only normal series rebuilds others badly. The error is the mean
    square in units of the series' own deviation, so that its sigmoid, e / (1 + e), is 0 for a
    series that is rebuilt exactly and 1/2 for one that is as wrong as its mean.
    """

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.pool = Pool()
        self.encode = nn.Linear(2 * width, config.code)
        self.rebuild = nn.Sequential(
            nn.Linear(config.code, 2 * width), nn.GELU(), nn.Linear(2 * width, config.context)
        )

    def forward(self, tokens: Tokens) -> Outputs:
        """Rebuild the series and measure the error."""
        rebuilt = self.rebuild(self.encode(self.pool(tokens)))
        error = (rebuilt - tokens.extras["series"]).square().mean(dim=1, keepdim=True)
        return {"logits": torch.log(error + SMALLEST_ERROR)}


SMALLEST_ERROR = 1e-6
"""It is added to the error of a rebuilt series, whose logarithm would not be finite at 0."""


class Vectors(nn.Module):
    """``embedding`` (B, dimensions), from the CLS and the mean token; the host normalises it."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.pool = Pool()
        self.linear = nn.Linear(2 * width, config.outputs)

    def forward(self, tokens: Tokens) -> Outputs:
        """Pool and project."""
        return {"embedding": self.linear(self.pool(tokens))}


class Embedding(nn.Module):
    """``embedding`` (B, g width): the mean feature. It has nothing to learn."""

    def forward(self, features: Tokens) -> Outputs:
        """Average over real tokens; the host normalises the length."""
        return {"embedding": masked_mean(features.x_BND, features.mask_BN)}


def _segmentation(config: HeadConfig, width: int) -> nn.Module:
    if config.layout == "sample":
        return Classification(config, width)
    return TokenSegmentation(config, width) if config.grid else GroupSegmentation(config, width)


def _classification(config: HeadConfig, width: int) -> nn.Module:
    return SeriesAnomaly(config, width) if config.code else Classification(config, width)


def _regression(config: HeadConfig, width: int) -> nn.Module:
    layer = Regression if config.layout == "sample" else MapRegression
    return layer(config, width)


OUTPUT_LAYERS: dict[TaskFamily, Any] = {
    TaskFamily.CLASSIFICATION: _classification,
    TaskFamily.REGRESSION: _regression,
    TaskFamily.FORECASTING: Forecasting,
    TaskFamily.DETECTION: Detection,
    TaskFamily.SEGMENTATION: _segmentation,
    TaskFamily.SUMMARIZATION: Summarization,
    TaskFamily.EMBEDDING: Vectors,
}


def build_head(
    config: HeadConfig,
    width: int,
    blocks: TransformerConfig,
    token_width: int,
    own_widths: Mapping[str, int] = NONE_OF_ITS_OWN,
) -> nn.Module:
    """Build the head of a task.

    Args:
        config: The sizes of the head.
        width: The width of the features it gets.
        blocks: The sizes of its blocks, if it has any.
        token_width: The width of the tokens before the trunk.
        own_widths: The sizes of the summaries that only its tokenizer hands out.
    """
    if config.layers == "fc":
        return FullyConnectedHead(config, width, token_width, own_widths)
    return Head(OUTPUT_LAYERS[config.family](config, blocks.width), width, blocks)
