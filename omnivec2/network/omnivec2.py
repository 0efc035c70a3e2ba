"""The network: h . g . f at inference, two streams with cross-attention in training.

::

    bytes -> arrays -> tokenizer_m -> f -> g -> head_m_t -> outputs      (inference)

    x_i -> tokenizer_i -> f --+-- A --> g --+-- A --> head_i             (training)
                              |             |
    x_j -> tokenizer_j -> f --+-- A --> g --+-- A --> head_j
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from omnivec2.network.config import NetworkConfig
from omnivec2.network.fc_head import TOKEN_SUMMARIES
from omnivec2.network.fusion import PairFusion
from omnivec2.network.heads import Embedding, build_head
from omnivec2.network.layers import Tokens
from omnivec2.network.summarization import Decoder
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.trunk import Trunk

Inputs = Mapping[str, Tensor]
Outputs = dict[str, Tensor]


class OmniVec2(nn.Module):
    """One network for many modalities and tasks.

    Args:
        config: sizes, tokenizers and heads.

    Head names hold a slash (``image/classification``), which module names may hold but
    parameter files read better without: they are stored as ``image_classification``.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        trunk = config.trunk
        self.tokenizers = nn.ModuleDict(
            {name: c.build(trunk.f.width) for name, c in config.tokenizers.items()}
        )
        self.trunk = Trunk(trunk)
        self.heads = nn.ModuleDict(
            {
                module_name(route): build_head(head, trunk.g.width, config.head, trunk.f.width)
                for route, head in config.heads.items()
                if head.has_weights
            }
        )
        for route, head in config.heads.items():
            if head.decoder is not None:
                layer = self.heads[module_name(route)].get_submodule("output.decoder")
                tokenizer = self.tokenizers[head.tokenizer]
                assert isinstance(layer, Decoder)
                assert isinstance(tokenizer, TextTokenizer)
                layer.share_words(tokenizer)
        self.embedding = Embedding()
        self.fusion = PairFusion(trunk.g.width, config.cross_heads)

    def tokenize(self, route: str, inputs: Inputs) -> Tokens:
        """Arrays of a batch -> tokens (B, N, f width)."""
        head = self.config.heads[route]
        tokens: Tokens = self.tokenizers[head.tokenizer](inputs)
        for name in head.token_summaries:
            tokens.extras[name] = TOKEN_SUMMARIES[name](tokens)
        return tokens

    def answer(self, route: str, features: Tokens) -> Outputs:
        """Features -> the named outputs of a head."""
        if self.config.heads[route].has_weights:
            outputs: Outputs = self.heads[module_name(route)](features)
            return outputs
        return self.embedding(features)

    def forward(self, route: str, inputs: Inputs) -> Outputs:
        """H . g . f, one stream, no cross-attention: what is exported and served."""
        return self.answer(route, self.trunk(self.tokenize(route, inputs)))

    def forward_pair(
        self, routes: tuple[str, str], inputs: tuple[Inputs, Inputs], gates: tuple[Tensor, Tensor]
    ) -> tuple[Outputs, Outputs]:
        """Two streams that look at each other where gates are 1.

        Streams may differ in batch size: the smaller one's samples are looked at in turn.

        Args:
            routes: the task of each stream.
            inputs: the arrays of each stream.
            gates: m of every sample of each stream, shape (B,).
        """
        narrowed = [self.trunk.f(self.tokenize(r, x)) for r, x in zip(routes, inputs, strict=True)]
        first, second = self.fuse((narrowed[0], narrowed[1]), gates)
        return self.answer(routes[0], first), self.answer(routes[1], second)

    def fuse(
        self, narrowed: tuple[Tokens, Tokens], gates: tuple[Tensor, Tensor]
    ) -> tuple[Tokens, Tokens]:
        """A, g and A again: what f gives of two streams -> features of both.

        Args:
            narrowed: the tokens of each stream after f.
            gates: m of every sample of each stream, shape (B,).
        """
        features = []
        for i, j in ((0, 1), (1, 0)):
            fused = self.fusion.before_g(narrowed[i], narrowed[j], gates[i])
            # The second site looks back at the sample's own tokens, as in the paper.
            features.append(self.fusion.before_heads(self.trunk.g(fused), narrowed[i], gates[i]))
        return features[0], features[1]


def module_name(route: str) -> str:
    """``image/classification`` -> ``image_classification``."""
    return route.replace("/", "_")
