"""Self-attention as engines like it: one product for queries, keys and values, one plain bias.

The network's own attention is what training needs: three maps, a boolean mask, torch's fused
kernel, which the exporter takes apart with a guard against rows that are masked as a whole. For
a trace every attention is exchanged for one that computes the same with fewer nodes:

- one product with the joined maps, the scores' scale in the rows of the queries;
- a mask turned into one addition, the same for all layers, so that common subexpressions leave
  one per graph; a graph without a mask has none;
- no guard: the first token of every sequence is real, and the bias is finite, so that even the
  rows of a batch's padding give numbers.

The joined map is no tensor of the checkpoint: the graph joins the stored rows when it is
loaded (``export.graphs.external_weights``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from omnivec2.arrays import Array
from omnivec2.network.layers import Attention, TransformerLayer

MASKED = -1e4
"""The addition to a masked score: its weight is exactly 0 in float32, and fp16 can hold it."""


@dataclass(frozen=True)
class JoinedTensor:
    """A tensor of a traced module that is made from several tensors of the checkpoint.

    Attributes:
        parts: The names of the tensors, whose rows follow each other.
        factor: The number that the rows of the first are multiplied by.
    """

    parts: tuple[str, ...]
    factor: float

    def of(self, tensors: Mapping[str, Array]) -> Array:
        """Return the joined tensor."""
        first, *others = (tensors[part] for part in self.parts)
        if self.factor != 1:
            first = first * np.float32(self.factor)
        return np.concatenate([first, *others]) if others else first


class JoinedAttention(nn.Module):
    """Multi-head self-attention with one product for queries, keys and values."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads = attention.heads
        self.factor = score_scale(attention)
        maps = (attention.query, attention.key, attention.value)
        self.joined = nn.Linear(maps[0].in_features, sum(m.out_features for m in maps))
        self.output = attention.output
        with torch.no_grad():
            for name in ("weight", "bias"):
                first, *others = (m.get_parameter(name) for m in maps)
                self.joined.get_parameter(name).copy_(torch.cat([first * self.factor, *others]))

    def forward(self, x_BND: Tensor, y_BMD: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        """Attend from ``x`` to itself; masked tokens get no weight.

        Args:
            x_BND: The sequence that gives queries, keys and values.
            y_BMD: The same sequence; the signature is that of the network's attention.
            mask_BM: The real tokens; the first of every sequence is one.
        """
        assert y_BMD is x_BND, "only self-attention has joined maps"
        heads = self.joined(x_BND).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        q, k, v = heads.split(self.heads, dim=1)
        scores = q @ k.transpose(-1, -2)
        if mask_BM is not None:
            scores = scores + ((1 - mask_BM.to(scores.dtype)) * MASKED)[:, None, None, :]
        mixed = scores.softmax(-1) @ v
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def score_scale(attention: Attention) -> float:
    """Return the factor of the scores, 1 / sqrt(width of a head)."""
    return float((attention.query.out_features // attention.heads) ** -0.5)


@contextmanager
def joined_attention(module: nn.Module) -> Iterator[dict[str, JoinedTensor]]:
    """Exchange the self-attentions of a module, and put its own back in the end.

    Args:
        module: The module to trace, in eval mode.

    Yields:
        A map from the joined tensors' names in the module to what they are made from.
    """
    exchanged: list[tuple[nn.Module, Attention]] = []
    joined: dict[str, JoinedTensor] = {}
    try:
        for path, layer in list(module.named_modules()):
            own = getattr(layer, "attention", None)
            if isinstance(layer, TransformerLayer) and isinstance(own, Attention):
                exchanged.append((layer, own))
                layer.add_module("attention", JoinedAttention(own).eval())
                for name in ("weight", "bias"):
                    parts = (f"{path}.attention.{p}.{name}" for p in ("query", "key", "value"))
                    joined[f"{path}.attention.joined.{name}"] = JoinedTensor(
                        tuple(parts), score_scale(own)
                    )
        yield joined
    finally:
        for layer, own in exchanged:
            layer.add_module("attention", own)
