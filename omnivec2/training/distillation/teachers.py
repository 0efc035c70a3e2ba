"""Teachers: pretrained networks that are published as packages, used as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.config import PRESETS, NetworkConfig
from omnivec2.network.layers import masked_mean
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import BLOCKS, LATER_BLOCKS, InvertedResidual, SameConv
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.network.warmstart import (
    EFFICIENTNET,
    MINILM,
    efficientnet_weights,
    fold_batchnorm,
    load_blocks,
    warm_start,
)
from omnivec2.spec import Modality

_POSITIONS = 512
_POOLED = 1280
_PICTURE_SIDE = 176
"""Pictures are enlarged to this side; EfficientNet-Lite0 was made for 224."""


class Teacher(nn.Module, ABC):
    """A frozen network from the arrays of a batch to vectors (B, width).

    Attributes:
        source: The name of its weights, for head specs.
        is_centred: Whether the mean of its vectors is subtracted before they are learned.
        evenness: The degree to which axes with little variance are enlarged, from 0 (they are
            learned as they are) to 1 (all axes differ equally).
    """

    source: str
    is_centred: bool
    evenness: float = 0.0

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return a vector of any length per sample."""


class SentenceTeacher(Teacher):
    """all-MiniLM-L6-v2: the mean of its last layer, by which it compares sentences."""

    source = MINILM
    is_centred = False

    def __init__(self) -> None:
        super().__init__()
        config = PRESETS["reference"].model_dump()
        words = {"text": TextTokenizerConfig(positions=_POSITIONS)}
        network = OmniVec2(NetworkConfig.model_validate(config | {"tokenizers": words}))
        warm_start(network)
        self.words = network.tokenizers["text"]
        self.transformer = network.trunk.f.transformer

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map ``input_ids``, ``token_type_ids``, ``attention_mask`` (B, N) to (B, 384)."""
        tokens = self.words(inputs)
        return masked_mean(self.transformer(tokens.x_BND, tokens.mask_BN), tokens.mask_BN)


class PictureTeacher(Teacher):
    """EfficientNet-Lite0: the features that its classes of ImageNet are told apart by."""

    source = EFFICIENTNET
    is_centred = True
    # Its largest axes tell apart the classes of ImageNet; other pictures differ on smaller ones.
    evenness = 1.0

    def __init__(self) -> None:
        super().__init__()
        weights = efficientnet_weights()
        self.first = SameConv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*sizes) for sizes in BLOCKS + LATER_BLOCKS)
        self.last = nn.Conv2d(LATER_BLOCKS[-1][1], _POOLED, 1)
        fold_batchnorm(self.first.conv, weights, "_conv_stem", "_bn0")
        load_blocks(self.blocks, weights)
        fold_batchnorm(self.last, weights, "_conv_head", "_bn1")

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map ``pixels`` uint8 (B, h, w, 3) to (B, 1280)."""
        # The scale of pixels is EfficientNet-Lite's own.
        x = (inputs["pixels"].movedim(-1, 1).float() - 127.0) / 128.0
        x = F.interpolate(x, size=(_PICTURE_SIDE, _PICTURE_SIDE), mode="bilinear")
        x = F.relu6(self.first(x))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.last(x)).mean(dim=(2, 3))


TEACHERS: dict[Modality, Callable[[], Teacher]] = {
    Modality.TEXT: SentenceTeacher,
    Modality.IMAGE: PictureTeacher,
}
"""The teacher of a modality's embedding, where a package has one."""
