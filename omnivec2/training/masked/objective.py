"""The loss of masked pretraining: of one modality over f, or of two through f, A and g."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers import Tokenizer
from omnivec2.spec import Modality
from omnivec2.training.masked import Restoration, build_restoration
from omnivec2.training.masked.decoders import DECODERS, Decoder, Seen
from omnivec2.training.masked.masking import LITERAL_RATIOS, RATIOS, choose_hidden
from omnivec2.training.masked.restoration import Inputs

Reach = Literal["f", "g"]


class MaskedObjective(nn.Module):
    """A decoder per tokenizer, and the losses of one or of two streams.

    Args:
        network: the network that is trained; it is no part of this module's parameters.
        reach: ``f`` decodes what f's transformer gives (stage 1), ``g`` what g gives.
        ratios: share of tokens that is hidden, where it is not the usual one.
        literal: the paper's ratios, and its permuted language model.
        tokenizers: names of those that are trained; all unless given.
    """

    def __init__(
        self,
        network: OmniVec2,
        reach: Reach,
        *,
        ratios: Mapping[Modality, float] | None = None,
        literal: bool = False,
        tokenizers: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple: its parameters are its own
        self.reach = reach
        usual = LITERAL_RATIOS if literal else RATIOS
        self.ratios = {**usual, **(ratios or {})}
        config = network.config
        self.restorations: dict[str, Restoration[Any]] = {}
        for name in tokenizers or config.tokenizers:
            tokenizer = network.tokenizers[name]
            assert isinstance(tokenizer, Tokenizer)
            modality = config.tokenizers[name].modality
            self.restorations[name] = build_restoration(modality, tokenizer, literal=literal)
        trunk = config.trunk
        encoded = trunk.f.width if reach == "f" else trunk.g.width
        self.decoders = nn.ModuleDict(
            {
                name: Decoder(encoded, trunk.f.width, DECODERS[config.preset], kind.outputs)
                for name, kind in self.restorations.items()
            }
        )

    @property
    def network(self) -> OmniVec2:
        """The network that is trained."""
        return self._network[0]

    def single(self, route: str, inputs: Inputs, generator: torch.Generator) -> Tensor:
        """Stage 1: the loss of a batch of one modality, by f's transformer alone."""
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
        """Stage 2: the losses of two modalities that look at each other where gates are 1."""
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
        predicted = kind.predict(decoder, seen, inputs, hidden_BN, generator)
        with torch.autocast(predicted.device.type, enabled=False):
            return kind.loss(predicted, inputs, hidden_BN)
