"""Graphs: node and edge tokens with Laplacian identifiers (TokenGT, Kim et al., 2022)."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from omnivec2.network.layers import Tokens
from omnivec2.network.tokenizers.base import Inputs, Tokenizer, TokenizerConfig
from omnivec2.spec import Modality


class GraphTokenizerConfig(TokenizerConfig):
    """Sizes of node and edge tokens with Laplacian node identifiers (TokenGT)."""

    modality: Literal[Modality.GRAPH] = Modality.GRAPH
    node_cardinalities: tuple[int, ...]
    edge_cardinalities: tuple[int, ...]
    laplacian_dims: int = 16

    def build(self, width: int) -> GraphTokenizer:
        """Return a tokenizer of these sizes."""
        return GraphTokenizer(self, width)


class FieldEmbedding(nn.Module):
    """The sum of one embedding per integer field (OGB's atom and bond encoders)."""

    offsets: Tensor

    def __init__(self, cardinalities: tuple[int, ...], width: int) -> None:
        super().__init__()
        starts = [0, *itertools.accumulate(cardinalities)]
        self.register_buffer("offsets", torch.tensor(starts[:-1], dtype=torch.int32))
        self.table = nn.Embedding(starts[-1], width)
        nn.init.normal_(self.table.weight, std=0.3)

    def forward(self, fields: Tensor) -> Tensor:
        """Embed int32 fields, (B, N, fields) -> (B, N, width)."""
        return self.table(fields + self.offsets).sum(dim=2)


class GraphTokenizer(Tokenizer):
    """Tokens for nodes, then edges; an edge's identifiers are those of its two ends.

    Inputs: ``nodes`` int32 (B, N, 9), ``node_ids`` float32 (B, N, 16), ``node_mask``
    uint8 (B, N), ``edges`` int32 (B, E, 2), ``edge_features`` int32 (B, E, 3),
    ``edge_mask`` uint8 (B, E). Every bond is listed once; its ends' identifiers are projected
    by one matrix and added, so that its direction does not matter.
    """

    def __init__(self, config: GraphTokenizerConfig, width: int) -> None:
        super().__init__(width)
        self.atom = FieldEmbedding(config.node_cardinalities, width)
        self.bond = FieldEmbedding(config.edge_cardinalities, width)
        self.identifier = nn.Linear(config.laplacian_dims, width, bias=False)
        self.kind = nn.Parameter(torch.randn(2, width) * 0.3)
        # An edge token also has the atoms it joins: with few molecules to learn from,
        # attention alone is slow to discover them.
        self.ends = nn.Linear(width, width, bias=False)

    def forward(self, inputs: Inputs) -> Tokens:
        """Embed nodes and edges, add their identifiers and kinds, and join them."""
        atoms = self.atom(inputs["nodes"])
        node_ids = self.identifier(inputs["node_ids"])
        edges = inputs["edges"].long()
        edge = self.bond(inputs["edge_features"])
        joined = self.ends(atoms)
        for end in range(2):
            index = edges[:, :, end : end + 1].expand(-1, -1, atoms.shape[2])
            edge = edge + torch.gather(node_ids, 1, index) + torch.gather(joined, 1, index)
        x = torch.cat([atoms + node_ids + self.kind[0], edge + self.kind[1]], dim=1)
        mask = torch.cat([inputs["node_mask"], inputs["edge_mask"]], dim=1) > 0
        return self.finish(x, mask)
