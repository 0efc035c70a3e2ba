"""The loss of masked pretraining: of one modality through f, or of two through f, A and g."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers import Tokenizer
from omnivec2.spec import Modality
from omnivec2.training.masked.decoders import DECODERS, Decoder, Seen
from omnivec2.training.masked.masking import choose_hidden
from omnivec2.training.masked.restoration import Inputs, Restoration
from omnivec2.training.modalities import modality_training

Reach = Literal["f", "g"]


class MaskedObjective(nn.Module):
    """A decoder per tokenizer, and the losses of one or of two streams.

    Args:
        network: The network that is trained; it is no part of this module's parameters.
        reach: The encoder, ``f`` for f's transformer (stage 1), ``g`` for all up to g (stage 2).
        ratios: The shares of tokens that are hidden, where they are not the usual ones.
        literal: Whether to use the paper's ratios and its permuted language model.
        literal_forms: The switches of further ways of the paper that are on.
        tokenizers: The names of those that are trained; all unless given.
        decoder: The sizes of a decoder; those of the network's preset unless given.
    """

    def __init__(
        self,
        network: OmniVec2,
        reach: Reach,
        *,
        ratios: Mapping[Modality, float] | None = None,
        literal: bool = False,
        literal_forms: Collection[str] = (),
        tokenizers: Sequence[str] | None = None,
        decoder: TransformerConfig | None = None,
    ) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple: its parameters are its own
        self.reach = reach
        self.ratios: dict[Modality, float] = {}
        config = network.config
        self.restorations: dict[str, Restoration[Any]] = {}
        for name in tokenizers or config.tokenizers:
            tokenizer = network.tokenizers[name]
            assert isinstance(tokenizer, Tokenizer)
            training = modality_training(config.tokenizers[name].modality)
            self.restorations[name] = training.build_restoration(
                tokenizer, literal=literal, forms=literal_forms
            )
            self.ratios[training.modality] = training.hidden_share(literal=literal)
        self.ratios |= ratios or {}
        trunk = config.trunk
        sizes = decoder or DECODERS[config.preset]
        encoded = trunk.f.width if reach == "f" else trunk.g.width
        self.decoders = nn.ModuleDict(
            {
                name: Decoder(encoded, trunk.f.width, sizes, kind.outputs)
                for name, kind in self.restorations.items()
            }
        )

    @property
    def network(self) -> OmniVec2:
        """The network that is trained."""
        return self._network[0]

    def single(self, route: str, inputs: Inputs, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch of one modality, by f's transformer alone (stage 1)."""
        inputs = self._rearranged(route, inputs, generator)
        seen, hidden_BN = self._see(route, inputs, generator)
        f = self.network.trunk.f.transformer
        encoded = seen.tokens.with_x(f(seen.tokens.x_BND, seen.tokens.mask_BN))
        return self._restore(route, seen.with_tokens(encoded), inputs, hidden_BN, generator)

    def pair(
        self,
        routes: tuple[str, str],
        inputs: tuple[Inputs, Inputs],
        gates: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of two modalities that attend to each other where gates are 1.

        Args:
            routes: The task of each stream.
            inputs: The arrays of each stream.
            gates: The gate of every sample of each stream, (B,).
            generator: A generator on the CPU, for the choice of hidden tokens.
        """
        first, second = (
            self._rearranged(r, x, generator) for r, x in zip(routes, inputs, strict=True)
        )
        inputs = first, second
        masked = [self._see(r, x, generator) for r, x in zip(routes, inputs, strict=True)]
        narrowed = [self.network.trunk.f(seen.tokens) for seen, _ in masked]
        features = self.network.fuse((narrowed[0], narrowed[1]), gates)
        losses = [
            self._restore(route, seen.with_tokens(tokens), x, hidden_BN, generator)
            for route, x, (seen, hidden_BN), tokens in zip(
                routes, inputs, masked, features, strict=True
            )
        ]
        return losses[0], losses[1]

    def _name(self, route: str) -> str:
        return self.network.config.heads[route].tokenizer

    def _rearranged(self, route: str, inputs: Inputs, generator: torch.Generator) -> Inputs:
        return self.restorations[self._name(route)].rearranged(inputs, generator)

    def _see(self, route: str, inputs: Inputs, generator: torch.Generator) -> tuple[Seen, Tensor]:
        kind = self.restorations[self._name(route)]
        ratio = self.ratios[self.network.config.modality_of(route)]
        hidden_BN = choose_hidden(kind.maskable(inputs), ratio, generator, kind.span)
        return kind.see(inputs, hidden_BN, generator), hidden_BN

    def _restore(
        self,
        route: str,
        seen: Seen,
        inputs: Inputs,
        hidden_BN: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        kind = self.restorations[self._name(route)]
        decoder = self.decoders[self._name(route)]
        assert isinstance(decoder, Decoder)
        counted_BN = kind.counted(hidden_BN, generator)
        predicted = kind.predict(decoder, seen, inputs, hidden_BN, counted_BN, generator)
        with torch.autocast(predicted.device.type, enabled=False):
            return kind.loss(predicted, inputs, counted_BN)
