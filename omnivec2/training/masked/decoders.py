"""Decoders of masked pretraining: small transformers over all places, seen and hidden.

They are used in training only: no checkpoint holds them (the state of a run does).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import Tokens, Transformer, init_bert

DECODERS: dict[str, TransformerConfig] = {
    "tiny": TransformerConfig(depth=1, width=32, heads=2, ffn=64),
    "reference": TransformerConfig(depth=2, width=192, heads=6, ffn=768),
    "paper": TransformerConfig(depth=4, width=384, heads=6, ffn=1536),
}
"""Sizes of a decoder by preset of the network it trains."""


@dataclass
class Seen:
    """The part of a sequence that the encoder is given, with its places.

    Attributes:
        tokens: The V tokens that are kept, with a mask if samples keep different numbers.
        order_BV: The place of each in the whole sequence.
        mask_BL: The mask of real tokens of the whole sequence; None if all are.
        length: The length of the whole sequence, L.
    """

    tokens: Tokens
    order_BV: Tensor
    mask_BL: Tensor | None
    length: int

    def with_tokens(self, tokens: Tokens) -> Seen:
        """Return the same places with the tokens that a transformer made."""
        return Seen(tokens, self.order_BV, self.mask_BL, self.length)


def kept_tokens(tokens: Tokens, kept_BL: Tensor) -> Seen:
    """Gather the kept tokens of every sample, in their order, padded to the longest."""
    counts_B = kept_BL.sum(dim=1)
    longest = int(counts_B.max())
    order_BV = (~kept_BL).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
    index = order_BV[..., None].expand(-1, -1, tokens.x_BND.shape[2])
    x_BVD = tokens.x_BND.gather(1, index)
    mask_BV = None
    if int(counts_B.min()) < longest:
        mask_BV = torch.arange(longest, device=counts_B.device) < counts_B[:, None]
    return Seen(Tokens(x_BVD, mask_BV), order_BV, tokens.mask_BN, kept_BL.shape[1])


class Decoder(nn.Module):
    """A decoder that puts encoded tokens back in their places and predicts the others.

    Args:
        encoded: The width of the encoder's tokens.
        places: The width of the positions (f's).
        config: The transformer's sizes.
        outputs: The numbers predicted per token.
    """

    def __init__(self, encoded: int, places: int, config: TransformerConfig, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(encoded, config.width)
        self.place = nn.Linear(places, config.width)
        self.blank = nn.Parameter(torch.randn(config.width) * 0.02)
        self.blocks = Transformer(config, norm="pre")
        self.restore = nn.Linear(config.width, outputs)
        # The encoder's last LayerNorm may leave small numbers (MiniLM's does).
        self.norm = nn.LayerNorm(config.width)
        init_bert(self.restore)

    def forward(self, seen: Seen, places_BLD: Tensor) -> Tensor:
        """Predict from encoded tokens and all places (B or 1, L, places) -> (B, L, outputs)."""
        x_BLD = self.put_back(seen) + self.place(places_BLD)
        return self.restore(self.blocks(x_BLD, seen.mask_BL))

    def put_back(self, seen: Seen) -> Tensor:
        """Return encoded tokens at their places, the mask token elsewhere: (B, L, width)."""
        x_BVD = self.norm(self.project(seen.tokens.x_BND))
        blank = self.blank.to(x_BVD.dtype)
        if seen.tokens.mask_BN is not None:
            # Padding points at hidden places, which must hold the mask token.
            x_BVD = torch.where(seen.tokens.mask_BN[..., None], x_BVD, blank)
        whole = blank.expand(x_BVD.shape[0], seen.length, -1)
        return whole.scatter(1, seen.order_BV[..., None].expand_as(x_BVD), x_BVD)
