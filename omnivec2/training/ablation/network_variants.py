"""Variants of a network: one tokenizer, or one head, for all of its modalities.

::

    image --> 16x16 patches --+
    audio --> 16x16 patches --+--> numbers, padded with 0 --> one linear map --> f
    imu   --> runs of samples +

A variant replaces tokenizers or heads of a network whose constants are fitted, so that all
variants get the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.errors import ArtifactError
from omnivec2.network.heads import Classification, Outputs
from omnivec2.network.layers import GridPositions, Tokens, Transformer
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.tokenizers.base import Inputs, Tokenizer
from omnivec2.network.tokenizers.visual import AUDIOSET_MEAN, AUDIOSET_STD
from omnivec2.spec import Modality, TaskFamily

Tokenizers = Literal["own", "patches", "unified"]
"""The tokenizers: own ones, a linear map of raw patches per modality, or one such map for all."""

Heads = Literal["own", "unified"]
"""The heads: one per task, or one whose outputs are the classes of all tasks."""

_SIDE = 16


def make_variant(network: OmniVec2, tokenizers: Tokenizers, heads: Heads) -> None:
    """Turn a network into a variant, in place.

    Args:
        network: The network, with its constants fitted.
        tokenizers: The kind of tokenizers.
        heads: The kind of heads.

    Raises:
        ArtifactError: There is no such variant of one of its modalities or tasks.
    """
    if tokenizers != "own":
        _replace_tokenizers(network, unified=tokenizers == "unified")
    if heads == "unified":
        _replace_heads(network)


# --- tokenizers ---------------------------------------------------------------------------


def _image(own: Any, inputs: Inputs) -> Tensor:
    return _patches(own.frames(inputs["pixels"]))


def _video(own: Any, inputs: Inputs) -> Tensor:
    """Cut clips into tubelets of two frames: (B, pairs x rows x columns, 2 x C x 16 x 16)."""
    frames = own.frames(inputs["frames"])
    batch, count, channels, height, width = frames.shape
    pairs = frames[:, : count // 2 * 2].reshape(-1, 2 * channels, height, width)
    patches = _patches(pairs)
    return patches.reshape(batch, -1, patches.shape[2])


def _audio(_: Any, inputs: Inputs) -> Tensor:
    return _patches(((inputs["fbank"] - AUDIOSET_MEAN) / (2 * AUDIOSET_STD))[:, None])


def _gray(own: Any, inputs: Inputs) -> Tensor:
    pixels = inputs["pixels"].movedim(-1, -3).to(own.cls.dtype)
    return _patches(pixels / 127.5 - 1.0)


def _imu(own: Any, inputs: Inputs) -> Tensor:
    runs: Tensor = own.runs(inputs["signal"])
    return runs


def _spectra(own: Any, inputs: Inputs) -> Tensor:
    groups: Tensor = own.groups(inputs["window"])
    return groups


RAW: Mapping[Modality, Callable[[Any, Inputs], Tensor]] = {
    Modality.IMAGE: _image,
    Modality.VIDEO: _video,
    Modality.AUDIO: _audio,
    Modality.XRAY: _gray,
    Modality.INFRARED: _gray,
    Modality.IMU: _imu,
    Modality.HYPERSPECTRAL: _spectra,
}
"""Functions from a modality's own tokenizer and arrays to numbers in standard units, (B, N, n)."""


def _patches(pictures: Tensor) -> Tensor:
    """Cut pictures (B, C, H, W) into patches (B, rows x columns, C x 16 x 16)."""
    return F.unfold(pictures, _SIDE, stride=_SIDE).transpose(1, 2)


class RawTokenizer(Tokenizer):
    """A linear map of numbers (B, N, up to ``numbers``) to tokens, with positions."""

    def __init__(self, numbers: int, most_tokens: int, width: int) -> None:
        super().__init__(width)
        self.numbers = numbers
        self.project = nn.Linear(numbers, width)
        self.positions = GridPositions((most_tokens,), width)

    def forward(self, x_BNn: Tensor) -> Tokens:
        """Pad with zeros and project."""
        padded = F.pad(x_BNn, (0, self.numbers - x_BNn.shape[2]))
        return self.finish(self.project(padded) + self.positions((x_BNn.shape[1],)))


class _FromRaw(nn.Module):
    """A tokenizer of one modality on raw numbers, of its own or shared by all modalities."""

    def __init__(self, modality: Modality, own: nn.Module, raw: RawTokenizer) -> None:
        super().__init__()
        self.modality = modality
        self.own = own.requires_grad_(False)  # only its constants are used, not its weights
        self.raw = raw

    def forward(self, inputs: Inputs) -> Tokens:
        """Tokenize the arrays of a modality."""
        tokens: Tokens = self.raw(RAW[self.modality](self.own, inputs))
        return tokens


def _replace_tokenizers(network: OmniVec2, *, unified: bool) -> None:
    config, width = network.config, network.config.trunk.f.width
    modalities = {name: tokenizer.modality for name, tokenizer in config.tokenizers.items()}
    if missing := [m for m in modalities.values() if m not in RAW]:
        raise ArtifactError(
            f"{missing[0].value} has no raw patches; modalities that have: {', '.join(RAW)}"
        )
    numbers = max(_NUMBERS.get(modality, _PATCH_NUMBERS) for modality in modalities.values())
    sizes = (numbers, _MOST_TOKENS, width)
    shared = RawTokenizer(*sizes)
    for name, modality in modalities.items():
        raw = shared if unified else RawTokenizer(*sizes)
        network.tokenizers[name] = _FromRaw(modality, network.tokenizers[name], raw)


_PATCH_NUMBERS = 3 * _SIDE**2
"""The numbers of a patch in colour; a spectrum's band group has 588."""
_NUMBERS = {Modality.VIDEO: 2 * _PATCH_NUMBERS}
"""The numbers of a token, where there are more: a tubelet has two frames."""
_MOST_TOKENS = 512


# --- heads --------------------------------------------------------------------------------


class UnifiedHead(nn.Module):
    """One projection, one ViT-Tiny and one output layer for the classes of all tasks."""

    def __init__(self, network: OmniVec2, classes: int) -> None:
        super().__init__()
        blocks, width = network.config.head, network.config.trunk.g.width
        first = next(iter(network.config.heads.values()))
        self.project = nn.Linear(width, blocks.width)
        self.blocks = Transformer(blocks, norm="pre")
        self.output = Classification(first.model_copy(update={"outputs": classes}), blocks.width)

    def forward(self, features: Tokens) -> Tensor:
        """Map features to logits (B, classes of all tasks)."""
        x = self.blocks(self.project(features.x_BND), features.mask_BN)
        logits: Tensor = self.output(features.with_x(x))["logits"]
        return logits


class _TaskOutputs(nn.Module):
    """The outputs of a unified head for the classes of one task."""

    def __init__(self, head: UnifiedHead, start: int, count: int) -> None:
        super().__init__()
        self.head = head
        self.classes = slice(start, start + count)

    def forward(self, features: Tokens) -> Outputs:
        """Map features to ``logits`` (B, classes)."""
        return {"logits": self.head(features)[:, self.classes]}


def _replace_heads(network: OmniVec2) -> None:
    heads = {route: head for route, head in network.config.heads.items() if head.has_weights}
    for route, head in heads.items():
        if head.family is not TaskFamily.CLASSIFICATION:
            raise ArtifactError(f"{route}: only classification heads can be unified")
    unified = UnifiedHead(network, sum(head.outputs for head in heads.values()))
    start = 0
    for route, head in heads.items():
        network.heads[module_name(route)] = _TaskOutputs(unified, start, head.outputs)
        start += head.outputs


@torch.no_grad()
def parameters_in_use(network: OmniVec2) -> int:
    """Count the weights that a variant uses, shared ones once."""
    unused = {id(p) for t in network.tokenizers.values() if isinstance(t, _FromRaw)
              for p in t.own.parameters()}  # fmt: skip
    return sum(p.numel() for p in network.parameters() if id(p) not in unused)
