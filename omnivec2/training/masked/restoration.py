"""What restoring hidden tokens asks of a modality.

The encoder never sees what is hidden: it is taken out of the arrays before the tokenizer,
because stems, clip means and instance normalisation look beyond a token's own patch, and
its token is then left out of the sequence. Shapes: B batch, N tokens that a tokenizer makes
of content (without CLS), L = N with what stands in front, P numbers predicted per token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor

from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers import Tokenizer
from omnivec2.training.masked.decoders import Decoder, Seen, kept_tokens

Inputs = Mapping[str, Tensor]
T = TypeVar("T", bound=Tokenizer)

_EPS = 1e-6
"""Added to a patch's variance, as in MAE (He et al., 2022)."""


class Restoration(ABC, Generic[T]):
    """How one modality's tokens are hidden, and what is to be restored.

    Args:
        tokenizer: whose tokens they are; gives sizes, scaling and positions.

    Attributes:
        outputs: P, numbers predicted per token.
        leading: tokens that the tokenizer puts in front of those with content (CLS).
        span: tokens that are hidden together, because neighbours overlap.
        drops: whether hidden tokens are left out of what the encoder sees.
    """

    outputs: int
    leading = 1
    span = 1
    drops = True

    def __init__(self, tokenizer: T) -> None:
        self.tokenizer = tokenizer

    @abstractmethod
    def maskable(self, inputs: Inputs) -> Tensor:
        """Tokens that may be hidden, bool (B, N)."""

    @abstractmethod
    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """The arrays without the content of hidden tokens."""

    @abstractmethod
    def places(self, inputs: Inputs) -> Tensor:
        """Where every token stands, f's width: (B or 1, N, D). Known of hidden tokens too."""

    @abstractmethod
    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Mean error at hidden tokens, given the arrays as they were; a scalar."""

    def see(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Seen:
        """Tokens that the encoder is given: all that are real and not hidden."""
        tokens: Tokens = self.tokenizer(self.hide(inputs, hidden_BN, generator))
        kept_BL = torch.ones(tokens.x_BND.shape[:2], dtype=torch.bool, device=hidden_BN.device)
        if self.drops:
            kept_BL[:, self.leading :] = ~hidden_BN
        if tokens.mask_BN is not None:
            kept_BL &= tokens.mask_BN
        return kept_tokens(tokens, kept_BL)

    def predict(
        self,
        decoder: Decoder,
        seen: Seen,
        inputs: Inputs,
        hidden_BN: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The decoder's guess at every token with content: (B, N, P), float32."""
        del hidden_BN, generator  # of use where the order of guesses is drawn
        places_BND = self.places(inputs)
        front = torch.zeros_like(places_BND[:, :1]).expand(-1, self.leading, -1)
        restored = decoder(seen, torch.cat([front, places_BND], dim=1))
        return restored[:, self.leading :].float()


def every_token(inputs: Inputs, count: int) -> Tensor:
    """All of ``count`` tokens of every sample may be hidden: bool (B, N)."""
    any_input = next(iter(inputs.values()))
    return torch.ones(any_input.shape[0], count, dtype=torch.bool, device=any_input.device)


def normalised(patches_BNP: Tensor) -> Tensor:
    """Every patch with mean 0 and deviation 1, float32."""
    patches = patches_BNP.float()
    centred = patches - patches.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + _EPS)


def square_error(predicted_BNP: Tensor, wanted_BNP: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error where ``counted``, bool (B, N) or (B, N, P)."""
    weight = (counted if counted.ndim == 3 else counted[..., None]).to(predicted_BNP.dtype)
    weight = weight.expand_as(predicted_BNP)
    error = (predicted_BNP - wanted_BNP).square() * weight
    return error.sum() / weight.sum().clamp(min=1.0)
