"""The contract of restoring hidden tokens, which every modality fulfils.

Hidden content never reaches the encoder: it is taken out of the arrays before the tokenizer,
because stems, clip means and instance normalisation reach beyond a token's own patch, and
its token is then left out of the sequence. Shapes: B batch, N tokens that a tokenizer makes
of content (without CLS), L = N and the tokens in front, P numbers predicted per token.
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
"""A constant added to a patch's variance, as in MAE (He et al., 2022)."""


class Restoration(ABC, Generic[T]):
    """A way to hide one modality's tokens and to measure how well they are restored.

    Args:
        tokenizer: The tokenizer of the tokens, with its sizes, scaling and positions.

    Attributes:
        outputs: The numbers predicted per token, P.
        leading: The number of tokens that the tokenizer puts in front of those with content (CLS).
        span: The number of tokens that are hidden together, because neighbours overlap.
        drops: Whether hidden tokens are left out of the encoder's tokens.
    """

    outputs: int
    leading = 1
    span = 1
    drops = True

    def __init__(self, tokenizer: T) -> None:
        self.tokenizer = tokenizer

    @abstractmethod
    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of the tokens that may be hidden, bool (B, N)."""

    @abstractmethod
    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Return the arrays without the content of hidden tokens."""

    @abstractmethod
    def places(self, inputs: Inputs) -> Tensor:
        """Return the position of every token, hidden or not, at f's width: (B or 1, N, D)."""

    @abstractmethod
    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the mean error at hidden tokens, given the arrays as they were; a scalar."""

    def rearranged(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        """Return the arrays that tokens are hidden in and restored of: as they are, usually."""
        del generator
        return inputs

    def counted(self, hidden_BN: Tensor, generator: torch.Generator) -> Tensor:
        """Return the hidden tokens that are predicted and count in the loss: all, usually."""
        del generator
        return hidden_BN

    def see(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Seen:
        """Return the tokens that the encoder is given: all that are real and not hidden."""
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
        counted_BN: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the decoder's prediction for every token with content, float32 (B, N, P)."""
        del hidden_BN, counted_BN, generator  # used where the order of predictions is drawn
        places_BND = self.places(inputs)
        front = torch.zeros_like(places_BND[:, :1]).expand(-1, self.leading, -1)
        restored = decoder(seen, torch.cat([front, places_BND], dim=1))
        return restored[:, self.leading :].float()


def every_token(inputs: Inputs, count: int) -> Tensor:
    """Return a mask of all ``count`` tokens of every sample, bool (B, N)."""
    any_input = next(iter(inputs.values()))
    return torch.ones(any_input.shape[0], count, dtype=torch.bool, device=any_input.device)


def normalised(patches_BNP: Tensor) -> Tensor:
    """Normalise every patch to mean 0 and deviation 1, float32."""
    patches = patches_BNP.float()
    centred = patches - patches.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + _EPS)


def square_error(predicted_BNP: Tensor, wanted_BNP: Tensor, counted: Tensor) -> Tensor:
    """Return the mean squared error where ``counted``, bool (B, N) or (B, N, P)."""
    weight = (counted if counted.ndim == 3 else counted[..., None]).to(predicted_BNP.dtype)
    weight = weight.expand_as(predicted_BNP)
    error = (predicted_BNP - wanted_BNP).square() * weight
    return error.sum() / weight.sum().clamp(min=1.0)
