"""Depth: clips of distances in millimetres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.depth import DepthTokenizer, DepthTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.depth import DepthPreprocessor
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.depth import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows, pooled
from omnivec2.training.masked.patch_restoration import cut, spread
from omnivec2.training.masked.restoration import (
    Inputs,
    Restoration,
    every_token,
    normalised,
    square_error,
)
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing, four_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class DepthRestoration(Restoration[DepthTokenizer]):
    """``depth`` (B, T, H, W) in millimetres; hidden tubelets are like unmeasured ones."""

    def __init__(self, tokenizer: DepthTokenizer) -> None:
        super().__init__(tokenizer)
        t, p, q = tokenizer.tubelet
        self.patch = (t, p * tokenizer.pooling, q * tokenizer.pooling)
        self.outputs = math.prod(tokenizer.tubelet)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every tubelet."""
        return every_token(inputs, math.prod(self.tokenizer.grid))

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Set hidden pixels to 0, which a camera gives where it measured nothing."""
        del generator
        pixels = spread(hidden_BN, self.tokenizer.grid, self.patch)
        return {"depth": inputs["depth"].to(torch.int32).masked_fill(pixels, 0)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        del inputs
        return self.tokenizer.positions(self.tokenizer.grid)[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the l2 error of the tokenizer's channel of distance, normalised per tubelet."""
        distance = self.tokenizer.channels(inputs["depth"].float())[:, :, 0]
        pooled = F.avg_pool2d(distance, self.tokenizer.pooling)[..., None]
        wanted = normalised(cut(pooled, self.tokenizer.tubelet))
        return square_error(predicted_BNP, wanted, hidden_BN)


class DepthTraining(ModalityTraining):
    """Training on depth: ``depth`` (T, H, W) in millimetres."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the task's clips."""
        frames, height, width = task.splits["train"].samples[0]["depth"].shape
        return DepthTokenizerConfig(frames=frames, height=height, width=width)

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return half of the frames at a quarter of their height and width."""
        return feature_rows(_thumbnails, samples)


def _thumbnails(sample: Sample) -> Array:
    frames, height, width = sample["depth"].shape
    return pooled(sample["depth"], frames // 2, height // 4, width // 4).ravel()


def _draw(axes: Axes, sample: Sample) -> None:
    """Draw near places light; what was not measured (0) stays white."""
    depth = four_frames(sample["depth"]).astype(np.float32)
    axes.imshow(np.ma.masked_equal(depth, 0), cmap="magma_r")


TRAINING = DepthTraining(
    preprocessor=DepthPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.75,
    restoration=DepthRestoration,
    display=Drawing(_draw),
    adaptation=AdaptationRules(),
)
