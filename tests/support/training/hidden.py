"""A tiny network to pretrain, and arrays that differ in what is hidden alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.spec import Modality
from tests.support.networks import networks

Inputs = dict[str, Tensor]

ROUTES = {
    Modality(head.tokenizer): route
    for route, head in networks.HEADS.items()
    if not route.endswith(("/detection", "/segmentation", "/embedding"))
}
"""Modality -> a route of the tiny network."""

VOCABULARY = 200  # more than the special tokens


def pretraining_network() -> OmniVec2:
    """The tiny network of all modalities, with real words in its vocabulary."""
    config = networks.tiny_network().config
    text = TextTokenizerConfig(vocabulary=VOCABULARY, positions=32)
    tokenizers = {**config.tokenizers, "text": text}
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(config.model_dump() | {"tokenizers": tokenizers})
    return OmniVec2(config)


def arrays(modality: Modality, batch: int, seed: int = 0) -> Inputs:
    """Random inputs of a modality; texts are words between [CLS] and [SEP]."""
    torch.manual_seed(seed)
    if modality is not Modality.TEXT:
        return networks.INPUTS[modality.value](batch)
    ids = torch.randint(104, VOCABULARY, (batch, 12), dtype=torch.int32)
    ids[:, 0], ids[:, -1] = 101, 102
    ones = torch.ones_like(ids)
    return {"input_ids": ids, "token_type_ids": ones * 0, "attention_mask": ones}


def _pixels(grid: tuple[int, int, int], patch: tuple[int, int, int]) -> Callable[..., Tensor]:
    def hidden_pixels(hidden_BN: Tensor) -> Tensor:
        block = torch.ones(patch, dtype=torch.int64)
        cells = hidden_BN.reshape(-1, *grid).long()
        return torch.stack([torch.kron(sample, block) for sample in cells]) > 0

    return hidden_pixels


def _only_hidden_values(hidden_BN: Tensor) -> Tensor:
    """Of a series of 64: values that no visible patch of 16, stride 8, reaches."""
    hidden = torch.ones(len(hidden_BN), 64, dtype=torch.bool)
    for sample, row in zip(hidden, hidden_BN, strict=True):
        for index in torch.nonzero(~row).flatten().tolist():
            sample[8 * index : 8 * index + 16] = False
            if index == len(row) - 1:  # the last patch also holds the repeated last value
                sample[-1] = False
    return hidden


_HIDDEN: dict[Modality, dict[str, Callable[[Tensor], Tensor]]] = {
    Modality.IMAGE: {"pixels": lambda h: _pixels((1, 4, 4), (1, 16, 16))(h)[:, 0, ..., None]},
    Modality.XRAY: {"pixels": lambda h: _pixels((1, 4, 4), (1, 16, 16))(h)[:, 0, ..., None]},
    Modality.INFRARED: {"pixels": lambda h: _pixels((1, 4, 4), (1, 16, 16))(h)[:, 0, ..., None]},
    Modality.VIDEO: {"frames": lambda h: _pixels((2, 2, 2), (2, 32, 32))(h)[..., None]},
    Modality.AUDIO: {"fbank": lambda h: _pixels((1, 4, 4), (1, 32, 32))(h)[:, 0]},
    Modality.DEPTH: {"depth": _pixels((4, 2, 2), (2, 16, 16))},
    Modality.TEXT: {"input_ids": lambda h: h},
    Modality.POINTCLOUD: {"groups": lambda h: h[..., None, None]},
    Modality.TIMESERIES: {"values": _only_hidden_values},
    Modality.TABULAR: {"numbers": lambda h: h[:, :3], "categories": lambda h: h[:, 3:]},
    Modality.GRAPH: {"nodes": lambda h: h[:, :6, None]},
    Modality.IMU: {"signal": lambda h: h.repeat_interleave(8, dim=1)[..., None]},
    Modality.HYPERSPECTRAL: {"window": lambda h: h.repeat_interleave(8, dim=1)[:, None, None, :20]},
}
"""Array -> which of its elements belong to hidden tokens, found without the code under test."""


def with_other_hidden_content(
    modality: Modality, inputs: Inputs, other: Inputs, hidden_BN: Tensor
) -> Inputs:
    """``inputs`` with the content of hidden tokens taken from ``other``."""
    mixed = dict(inputs)
    for name, of_hidden in _HIDDEN[modality].items():
        kept, taken = inputs[name], other[name]
        if kept.dtype == torch.uint16:
            kept, taken = kept.to(torch.int32), taken.to(torch.int32)
        mixed[name] = torch.where(of_hidden(hidden_BN), taken, kept).to(inputs[name].dtype)
    return mixed
