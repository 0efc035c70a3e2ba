"""The network: h . g . f at inference, two streams with cross-attention in training.

::

    bytes -> arrays -> tokenizer_m -> f -> g -> head_m_t -> outputs      (inference)

    x_i -> tokenizer_i -> f --+-- A --> g --+-- A --> head_i             (training)
                              |             |
    x_j -> tokenizer_j -> f --+-- A --> g --+-- A --> head_j
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from omnivec2.network.config import OWN_SUMMARIES, NetworkConfig, Summary
from omnivec2.network.fc_head import TOKEN_SUMMARIES
from omnivec2.network.fusion import PairFusion
from omnivec2.network.heads import Embedding, build_head
from omnivec2.network.layers import Tokens
from omnivec2.network.summarization import Decoder
from omnivec2.network.tokenizers.base import Tokenizer
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.trunk import Trunk
from omnivec2.spec import model_name

Inputs = Mapping[str, Tensor]
Outputs = dict[str, Tensor]


class OmniVec2(nn.Module):
    """One network for many modalities and tasks.

    Args:
        config: The sizes, tokenizers and heads.

    Head names hold a slash (``image/classification``). Module names may hold one too, but
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
                module_name(route): build_head(
                    head, trunk.g.width, config.head, trunk.f.width,
                    config.tokenizers[head.tokenizer].own_widths,
                )
                for route, head in config.heads.items()
                if head.has_weights
            }
        )  # fmt: skip
        for route, head in config.heads.items():
            if head.decoder is not None:
                layer = self.heads[module_name(route)].get_submodule("output.decoder")
                tokenizer = self.tokenizers[head.tokenizer]
                assert isinstance(layer, Decoder)
                assert isinstance(tokenizer, TextTokenizer)
                layer.share_words(tokenizer)
        self.embedding = Embedding()
        self.fusion = PairFusion(trunk.g.width, config.cross_heads, plain=config.plain_fusion)

    def tokenize(
        self, route: str, inputs: Inputs, summaries: Collection[Summary] | None = None
    ) -> Tokens:
        """Turn the arrays of a batch into tokens (B, N, f width).

        Args:
            route: The name of the head.
            inputs: The arrays by name.
            summaries: The summaries taken before the trunk that become extras; those that the
                head sees if None.
        """
        head = self.config.heads[route]
        tokenizer = self.tokenizers[head.tokenizer]
        names = set(head.token_summaries if summaries is None else summaries)
        if OWN_SUMMARIES & names:
            assert isinstance(tokenizer, Tokenizer)
            tokens = tokenizer.forward_own(inputs)
        else:
            tokens = tokenizer(inputs)
        for name in sorted(names - OWN_SUMMARIES):
            tokens.extras[name] = TOKEN_SUMMARIES[name](tokens)
        return tokens

    def answer(self, route: str, features: Tokens) -> Outputs:
        """Map features to the named outputs of a head."""
        if self.config.heads[route].has_weights:
            outputs: Outputs = self.heads[module_name(route)](features)
            return outputs
        return self.embedding(features)

    def forward(self, route: str, inputs: Inputs) -> Outputs:
        """Run h . g . f on one stream without cross-attention, as exported and served."""
        return self.answer(route, self.trunk(self.tokenize(route, inputs)))

    def forward_pair(
        self, routes: tuple[str, str], inputs: tuple[Inputs, Inputs], gates: tuple[Tensor, Tensor]
    ) -> tuple[Outputs, Outputs]:
        """Run two streams that attend to each other where gates are 1.

        Streams may differ in batch size: the smaller one's samples are attended to in turn.

        Args:
            routes: The task of each stream.
            inputs: The arrays of each stream.
            gates: The gate m of every sample of each stream, shape (B,).
        """
        narrowed = [self.trunk.f(self.tokenize(r, x)) for r, x in zip(routes, inputs, strict=True)]
        first, second = self.fuse((narrowed[0], narrowed[1]), gates)
        return self.answer(routes[0], first), self.answer(routes[1], second)

    def fuse(
        self, narrowed: tuple[Tokens, Tokens], gates: tuple[Tensor, Tensor]
    ) -> tuple[Tokens, Tokens]:
        """Apply cross-attention, g and cross-attention again to the outputs of f of two streams.

        Args:
            narrowed: The tokens of each stream after f.
            gates: The gate m of every sample of each stream, shape (B,).

        Returns:
            The features of both streams.
        """
        features = []
        for i, j in ((0, 1), (1, 0)):
            fused = self.fusion.before_g(narrowed[i], narrowed[j], gates[i])
            # The second site looks back at the sample's own tokens, as in the paper.
            features.append(self.fusion.before_heads(self.trunk.g(fused), narrowed[i], gates[i]))
        return features[0], features[1]


def module_name(route: str) -> str:
    """Return a head's module name: ``image_classification`` for ``image/classification``."""
    return model_name(route)
