"""Restoring the pixels of hidden patches: what pictures, clips and spectrograms share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from omnivec2.network.tokenizers.visual import (
    GRAY_MEAN,
    GRAY_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    VisualTokenizer,
)
from omnivec2.training.masked.restoration import (
    Inputs,
    Restoration,
    every_token,
    normalised,
    square_error,
)

Patch = tuple[int, int, int]


def cut(frames_BTHWC: Tensor, patch: Patch) -> Tensor:
    """Cut frames into patches of (frames, rows, columns), row-major: (B, N, t * h * w * C)."""
    t, h, w = patch
    batch, count, height, width, channels = frames_BTHWC.shape
    parts = frames_BTHWC.reshape(batch, count // t, t, height // h, h, width // w, w, channels)
    return parts.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, -1, t * h * w * channels)


def spread(hidden_BN: Tensor, grid: Patch, patch: Patch) -> Tensor:
    """Expand a mask of patches to a mask of pixels, (B, N) -> (B, T, H, W)."""
    pixels = hidden_BN.reshape(-1, *grid)
    for axis, size in enumerate(patch, start=1):
        pixels = pixels.repeat_interleave(size, dim=axis)
    return pixels


class FrameRestoration(Restoration[VisualTokenizer]):
    """Frames of any number of channels; a subclass has the array's name and its scaling."""

    name = "pixels"
    channels = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    levels = 255.0

    def __init__(self, tokenizer: VisualTokenizer) -> None:
        super().__init__(tokenizer)
        t, p, q = tokenizer.tubelet
        self.patch = (t, p * tokenizer.stride, q * tokenizer.stride)
        self.outputs = math.prod(self.patch) * self.channels

    def frames(self, inputs: Inputs) -> Tensor:
        """Return the array as (B, T, H, W, C), in its own type."""
        return inputs[self.name][:, None]

    def grid(self, inputs: Inputs) -> Patch:
        """Return the number of tokens along time, rows and columns."""
        t, h, w = self.patch
        _, count, height, width, _ = self.frames(inputs).shape
        return count // t, height // h, width // w

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of every patch."""
        return every_token(inputs, math.prod(self.grid(inputs)))

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Set hidden patches to the mean colour, which the tokenizer's scaling makes zero."""
        del generator
        frames = self.frames(inputs)
        blank = torch.tensor(self.mean, device=frames.device) * self.levels
        if not frames.is_floating_point():
            blank = blank.round()
        pixels = spread(hidden_BN, self.grid(inputs), self.patch)[..., None]
        left = torch.where(pixels, blank.to(frames.dtype), frames)
        return {self.name: left.reshape(inputs[self.name].shape)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        return self.tokenizer.positions(self.grid(inputs))[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the l2 error of patches that are normalised one by one."""
        frames = self.frames(inputs).float() / self.levels
        scale = predicted_BNP.new_tensor([self.mean, self.std])
        patches = cut((frames - scale[0]) / scale[1], self.patch)
        return square_error(predicted_BNP, normalised(patches), hidden_BN)


class GrayRestoration(FrameRestoration):
    """One channel: X-ray and infrared."""

    channels = 1
    mean, std = (GRAY_MEAN,), (GRAY_STD,)
