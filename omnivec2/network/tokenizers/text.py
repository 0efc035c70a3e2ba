"""Text: BERT's word, position and segment embeddings."""

from __future__ import annotations

import torch
from torch import nn

from omnivec2.network.config import TextTokenizerConfig
from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer

IDS, TARGET_IDS = "input_ids", "target_ids"


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
        """Sum the three embeddings and normalise."""
        ids = inputs["input_ids"]
        position = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(position) + self.segments(inputs["token_type_ids"])
        # In training only: the text to write, and the source to copy from.
        extras = {name: inputs[name] for name in (IDS, TARGET_IDS) if TARGET_IDS in inputs}
        return Tokens(self.norm(x), inputs["attention_mask"] > 0, extras)
