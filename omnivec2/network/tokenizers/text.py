"""Text: BERT's word, position and segment embeddings."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.spec import Modality

IDS, TARGET_IDS = "input_ids", "target_ids"


class TextTokenizerConfig(TokenizerConfig):
    """Sizes of BERT embeddings: word + position + segment."""

    modality: Literal[Modality.TEXT] = Modality.TEXT
    vocabulary: int = 30522
    positions: int = 256

    def build(self, width: int) -> TextTokenizer:
        """Return a tokenizer of these sizes."""
        return TextTokenizer(self, width)

    def combined_with(self, other: object) -> TextTokenizerConfig:
        """Return sizes with positions for the longer texts of both."""
        if not isinstance(other, TextTokenizerConfig):
            return self
        return self.model_copy(update={"positions": max(self.positions, other.positions)})


class TextTokenizer(Tokenizer):
    """``input_ids``, ``token_type_ids``, ``attention_mask`` int32 (B, N).

    WordPiece puts its own [CLS] in front, so no learned CLS token is added.
    """

    def __init__(self, config: TextTokenizerConfig, width: int) -> None:
        super().__init__(width)
        del self.cls
        self.words = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Embedding(config.positions, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, inputs: Inputs) -> Tokens:
        """Sum the three embeddings and normalise the sum."""
        ids = inputs["input_ids"]
        position = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(position) + self.segments(inputs["token_type_ids"])
        # In training only: the text that the head must write, and the words that it may copy.
        extras = {name: inputs[name] for name in (IDS, TARGET_IDS) if TARGET_IDS in inputs}
        return Tokens(self.norm(x), inputs["attention_mask"] > 0, extras)
