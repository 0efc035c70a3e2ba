"""Tables and graphs: hidden columns and the fields of hidden atoms are to be restored."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.network.layers import sincos
from omnivec2.network.tokenizers.graph import GraphTokenizer
from omnivec2.network.tokenizers.tabular import TabularTokenizer
from omnivec2.training.masked.restoration import Inputs, Restoration


def _sizes(offsets: Tensor, total: int) -> list[int]:
    """Ids of every column, from where they start in the common table."""
    starts = [*offsets.tolist(), total]
    return [b - a for a, b in itertools.pairwise(starts)]


def relative_entropy(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Summed cross-entropy in units of a blind guess (ln of the choices), where ``counted``.

    Args:
        logits: (..., choices).
        wanted: ids, (...).
        counted: bool, (...).
    """
    choices = logits.shape[-1]
    entropy = F.cross_entropy(logits.reshape(-1, choices), wanted.reshape(-1), reduction="none")
    return (entropy * counted.reshape(-1)).sum() / math.log(max(choices, 2))


class TabularRestoration(Restoration[TabularTokenizer]):
    """Numbers by l2 in deviations, categories by cross-entropy; missing numbers stay out."""

    def __init__(self, tokenizer: TabularTokenizer) -> None:
        super().__init__(tokenizer)
        self.numbers = len(tokenizer.mean)
        self.sizes = _sizes(tokenizer.offsets, tokenizer.categories.num_embeddings)
        self.outputs = 1 + sum(self.sizes)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Every column, but numbers that are missing."""
        known = inputs["missing"] == 0
        return torch.cat([known, torch.ones_like(inputs["categories"], dtype=torch.bool)], dim=1)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Hidden cells are missing ones."""
        del generator
        number, category = hidden_BN[:, : self.numbers], hidden_BN[:, self.numbers :]
        return {
            "numbers": torch.where(number, self.tokenizer.mean, inputs["numbers"]),
            "missing": inputs["missing"].masked_fill(number, 1),
            "categories": inputs["categories"].masked_fill(category, 0),
        }

    def places(self, inputs: Inputs) -> Tensor:
        """Columns by number: a fixed code, for a tokenizer's columns have no positions."""
        weight = self.tokenizer.cls
        count = self.numbers + inputs["categories"].shape[1]
        return sincos(count, len(weight)).to(weight.device)[None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Mean over hidden cells; one of either kind costs about 1 to a blind guess."""
        number, category = hidden_BN[:, : self.numbers], hidden_BN[:, self.numbers :]
        wanted = (inputs["numbers"] - self.tokenizer.mean) / self.tokenizer.std
        error = predicted_BNP[:, : self.numbers, 0] - wanted
        total = (error.square().masked_fill(~number, 0.0)).sum()
        guesses = torch.split(predicted_BNP[:, self.numbers :, 1:], self.sizes, dim=-1)
        for column, guess in enumerate(guesses):
            ids = inputs["categories"][:, column].long()
            total = total + relative_entropy(guess[:, column], ids, category[:, column])
        return total / hidden_BN.sum().clamp(min=1)


class GraphRestoration(Restoration[GraphTokenizer]):
    """The fields of hidden atoms; bonds, and what joins what, stay known."""

    def __init__(self, tokenizer: GraphTokenizer) -> None:
        super().__init__(tokenizer)
        self.sizes = _sizes(tokenizer.atom.offsets, tokenizer.atom.table.num_embeddings)
        self.outputs = sum(self.sizes)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Atoms, not bonds."""
        bonds = torch.zeros_like(inputs["edge_mask"], dtype=torch.bool)
        return torch.cat([inputs["node_mask"] > 0, bonds], dim=1)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Every field takes its last id ("misc"): bonds look at the atoms they join."""
        del generator
        nodes = inputs["nodes"]
        last = torch.tensor([size - 1 for size in self.sizes], device=nodes.device)
        hidden = hidden_BN[:, : nodes.shape[1], None]
        return {**inputs, "nodes": torch.where(hidden, last.to(nodes.dtype), nodes)}

    def places(self, inputs: Inputs) -> Tensor:
        """Laplacian identifiers: of an atom its own, of a bond those of its two ends."""
        node_ids, kinds = self.tokenizer.identifier(inputs["node_ids"]), self.tokenizer.kind
        ends = inputs["edges"].long().flatten(1)[..., None].expand(-1, -1, node_ids.shape[2])
        edge_ids = node_ids.gather(1, ends).unflatten(1, (-1, 2)).sum(dim=2)
        return torch.cat([node_ids + kinds[0], edge_ids + kinds[1]], dim=1)

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Cross-entropy of every field, mean over fields and hidden atoms."""
        nodes = inputs["nodes"].long()
        hidden = hidden_BN[:, : nodes.shape[1]]
        guesses = torch.split(predicted_BNP[:, : nodes.shape[1]], self.sizes, dim=-1)
        parts = [
            relative_entropy(guess, nodes[..., field], hidden)
            for field, guess in enumerate(guesses)
        ]
        return torch.stack(parts).mean() / hidden.sum().clamp(min=1)
