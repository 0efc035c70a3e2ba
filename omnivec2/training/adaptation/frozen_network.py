"""The frozen network: the part of a checkpoint that an adaptation builds on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from omnivec2.checkpoint import (
    Checkpoint,
    dequantise,
    load_stored_tensors,
    read_checkpoint,
)
from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.random_start import WithoutRandomStart
from omnivec2.network.saved_network import TRAINING_ONLY
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.visual import DEEP
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, Modality

TRUNK_PREFIX = "trunk."


@dataclass(frozen=True)
class Base:
    """A checkpoint, and its head of one modality.

    Attributes:
        checkpoint: The checkpoint with its specs.
        config: The configuration of its network.
        head: A head of the modality, with the pre-processing that the tokenizer was trained on.
        stored: All tensors as they are stored.
    """

    checkpoint: Checkpoint
    config: NetworkConfig
    head: HeadSpec
    stored: dict[str, Array]

    @property
    def tokenizer(self) -> str:
        """The name of the tokenizer that the modality's head uses."""
        return self.config.heads[self.head.route].tokenizer

    def with_f_mean(self) -> Base:
        """Return the base with a trunk that hands out what it has before it narrows its tokens."""
        trunk = self.config.trunk.model_copy(update={"f_mean": True})
        return replace(self, config=self.config.model_copy(update={"trunk": trunk}))

    def with_deep_blocks(self, blocks: int) -> Base:
        """Return the base with deep blocks of its tokenizer's stem.

        Args:
            blocks: The number of blocks. 0 leaves the base as it is, as does a tokenizer that has
                deep blocks, or that cannot have any, such as one of plain patches.
        """
        own = self.config.tokenizers[self.tokenizer]
        if not blocks or own.own_widths.get(DEEP):
            return self
        try:
            deeper = type(own).model_validate(own.model_dump() | {"deep_blocks": blocks})
        except ValidationError:
            return self
        tokenizers = {**self.config.tokenizers, self.tokenizer: deeper}
        return replace(self, config=self.config.model_copy(update={"tokenizers": tokenizers}))

    def part(self, prefix: str) -> dict[str, Array]:
        """Return the stored tensors whose names start with a prefix, scales included."""
        return {name: array for name, array in self.stored.items() if name.startswith(prefix)}


def load_base(directory: Path, modality: Modality) -> Base:
    """Load the base of an adaptation.

    Raises:
        CheckpointError: The checkpoint is incomplete or altered.
        UnknownModelError: The checkpoint has no head of the modality, hence no tokenizer.
    """
    checkpoint = read_checkpoint(directory)
    try:
        config = NetworkConfig.model_validate(checkpoint.config)
    except ValidationError as error:
        raise CheckpointError(f"{directory}: config.json is not a network: {error}") from error
    heads = [head for head in checkpoint.heads if head.modality is modality]
    if not heads:
        known = sorted({head.modality.value for head in checkpoint.heads})
        raise UnknownModelError(
            f"{directory} has no head for {modality.value}; it has {', '.join(known)}"
        )
    # A modality's embedding has the input that its tokenizer was trained with first.
    head = min(heads, key=lambda head: (not head.is_embedding, head.name))
    return Base(checkpoint, config, head, load_stored_tensors(directory))


def build_network(
    base: Base, route: str, head: HeadConfig, tokenizer: AnyTokenizerConfig | None
) -> OmniVec2:
    """Build the trunk of a base with one head, in evaluation mode, its weights frozen.

    The head has zeros for random weights: it is replaced by the one that is fitted.

    Args:
        base: The base with the trunk, and the tokenizer if it is kept.
        route: The name of the new head.
        head: The sizes of the head, with the name of its tokenizer.
        tokenizer: The sizes of a new tokenizer, which keeps its own start; None keeps the base's.
    """
    config = base.config.model_copy(
        update={
            "tokenizers": {head.tokenizer: tokenizer or base.config.tokenizers[head.tokenizer]},
            "heads": {route: head},
        }
    )
    with WithoutRandomStart():
        network = OmniVec2(config)
    if tokenizer is not None:
        network.tokenizers[head.tokenizer] = tokenizer.build(config.trunk.f.width)
    parts = base.part(TRUNK_PREFIX)
    if tokenizer is None:
        parts |= base.part(f"tokenizers.{head.tokenizer}.")
    load_into(network, dequantise(parts))
    return network.requires_grad_(False).eval()


def load_into(network: nn.Module, tensors: dict[str, Array]) -> None:
    """Copy tensors into a network by name.

    Raises:
        CheckpointError: One is unknown to the network or of another shape.
    """
    state: dict[str, Any] = {
        name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()
    }
    try:
        outcome = network.load_state_dict(state, strict=False)
    except RuntimeError as error:  # torch raises it for tensors of the wrong shape
        raise CheckpointError(f"weights do not fit config.json: {error}") from error
    unexpected = [name for name in outcome.unexpected_keys if not name.startswith(TRAINING_ONLY)]
    if unexpected:
        raise CheckpointError(f"weights do not fit config.json (unexpected {unexpected[:3]})")
