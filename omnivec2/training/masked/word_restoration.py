"""Text: masked words, as BERT has them, or in a drawn order, as the paper has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.training.masked.decoders import Decoder, Seen
from omnivec2.training.masked.restoration import Inputs, Restoration

MASK_ID = 103
"""[MASK] of the uncased BERT vocabulary; ids up to it are special."""
_MASKED, _RANDOM = 0.8, 0.1
"""Shares of hidden words that become [MASK] and another word; the rest stays (8:1:1)."""


def corrupted(ids: Tensor, hidden: Tensor, vocabulary: int, generator: torch.Generator) -> Tensor:
    """``ids`` with hidden ones replaced 8:1:1 by [MASK], a random word, and nothing."""
    chance = torch.rand(ids.shape, generator=generator).to(ids.device)
    words = torch.randint(MASK_ID + 1, vocabulary, ids.shape, generator=generator)
    masked = torch.full_like(ids, MASK_ID)
    other = words.to(device=ids.device, dtype=ids.dtype)
    changed = torch.where(chance < _MASKED, masked, torch.where(chance < 0.9, other, ids))
    return torch.where(hidden, changed, ids)


class TextRestoration(Restoration[TextTokenizer]):
    """Masked words stay in the sequence as [MASK], a random word or themselves."""

    leading = 0  # WordPiece's own [CLS] is a token like others, but never hidden
    drops = False

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__(tokenizer)
        # The decoder ends in the words' own space; their table is the output layer.
        self.outputs = tokenizer.words.embedding_dim

    def maskable(self, inputs: Inputs) -> Tensor:
        """Words, not special tokens or padding."""
        return (inputs["input_ids"] > MASK_ID) & (inputs["attention_mask"] > 0)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Replace hidden words 8:1:1."""
        vocabulary = self.tokenizer.words.num_embeddings
        ids = corrupted(inputs["input_ids"], hidden_BN, vocabulary, generator)
        return {**inputs, "input_ids": ids}

    def places(self, inputs: Inputs) -> Tensor:
        """The tokenizer's positions."""
        length = inputs["input_ids"].shape[1]
        return self.tokenizer.positions.weight[:length][None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Cross-entropy over the vocabulary at hidden words."""
        logits = predicted_BNP[hidden_BN] @ self.tokenizer.words.weight.float().T
        wanted = inputs["input_ids"][hidden_BN].long()
        entropy = F.cross_entropy(logits, wanted, reduction="sum")
        return entropy / hidden_BN.sum().clamp(min=1)


class PermutedTextRestoration(TextRestoration):
    """The paper's permuted language model: hidden words are guessed in a drawn order.

    f sees the words that are not hidden. The decoder guesses each hidden word from these
    and from the hidden words that come before it in the order, in the two streams of XLNet
    (Yang et al., 2019): content stands beside queries, and a mask says who sees what. A
    query holds the mask token, with a random word or its own word added, 8:1:1.
    """

    drops = True

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Every hidden word is [MASK]; its token is left out afterwards."""
        del generator
        return {**inputs, "input_ids": inputs["input_ids"].masked_fill(hidden_BN, MASK_ID)}

    def predict(
        self,
        decoder: Decoder,
        seen: Seen,
        inputs: Inputs,
        hidden_BN: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Guess every hidden word once its predecessors in the order are known."""
        places, words = self.places(inputs), self.tokenizer.words
        ids, unknown = inputs["input_ids"], hidden_BN[..., None]
        hint_ids = corrupted(ids, hidden_BN, words.num_embeddings, generator)
        hints = words(hint_ids) * (unknown & (hint_ids != MASK_ID)[..., None])
        content = decoder.put_back(seen) + decoder.place(places)
        content = torch.where(unknown, decoder.place(places + words(ids)).to(content), content)
        queries = decoder.blank + decoder.place(places + hints)
        x = torch.cat([content, queries.to(content)], dim=1)
        known = (inputs["attention_mask"] > 0) & ~hidden_BN
        x = decoder.blocks(x, two_stream_mask(known, hidden_BN, generator))
        return decoder.restore(x[:, ids.shape[1] :]).float()


def two_stream_mask(known_BN: Tensor, hidden_BN: Tensor, generator: torch.Generator) -> Tensor:
    """Who sees whom, bool (B, 2N, 2N): content first, then queries; True is seen.

    Content sees known tokens, itself and hidden ones before it in a drawn order; a query
    sees the same without its own content, and itself.
    """
    batch, count = hidden_BN.shape
    device = hidden_BN.device
    noise = torch.rand(batch, count, generator=generator).to(device)
    before = (noise[:, None, :] < noise[:, :, None]) & hidden_BN[:, None] & hidden_BN[:, :, None]
    earlier = before | known_BN[:, None]
    itself = torch.eye(count, dtype=torch.bool, device=device).expand(batch, -1, -1)
    content = torch.cat([earlier | itself, torch.zeros_like(itself)], dim=2)
    return torch.cat([content, torch.cat([earlier, itself], dim=2)], dim=1)
