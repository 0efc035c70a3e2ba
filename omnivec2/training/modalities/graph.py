"""Graphs: molecules of atoms and bonds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.graph import GraphTokenizer, GraphTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.graph import ATOM_FIELD_SIZES, BOND_FIELD_SIZES, GraphPreprocessor
from omnivec2.training.adaptation.adaptation_rules import (
    FEATURE_SUMMARIES,
    TOKEN_SUMMARIES,
    TextRules,
)
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.graph import TASKS
from omnivec2.training.evaluation.plain_features import feature_rows
from omnivec2.training.masked.field_restoration import field_sizes, relative_entropy
from omnivec2.training.masked.restoration import Inputs, Restoration
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ATOM_IDS, _BOND_IDS = 128, 32
"""Ids of a field that plain features count, at most."""


class GraphRestoration(Restoration[GraphTokenizer]):
    """The fields of hidden atoms; bonds, and what joins what, stay known."""

    def __init__(self, tokenizer: GraphTokenizer) -> None:
        super().__init__(tokenizer)
        self.sizes = field_sizes(tokenizer.atom.offsets, tokenizer.atom.table.num_embeddings)
        self.outputs = sum(self.sizes)

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of atoms, without bonds."""
        bonds = torch.zeros_like(inputs["edge_mask"], dtype=torch.bool)
        return torch.cat([inputs["node_mask"] > 0, bonds], dim=1)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Give every field its last id ("misc"), as bonds attend to the atoms they join."""
        del generator
        nodes = inputs["nodes"]
        last = torch.tensor([size - 1 for size in self.sizes], device=nodes.device)
        hidden = hidden_BN[:, : nodes.shape[1], None]
        return {**inputs, "nodes": torch.where(hidden, last.to(nodes.dtype), nodes)}

    def places(self, inputs: Inputs) -> Tensor:
        """Return Laplacian identifiers: an atom's own, and those of both ends of a bond."""
        node_ids, kinds = self.tokenizer.identifier(inputs["node_ids"]), self.tokenizer.kind
        ends = inputs["edges"].long().flatten(1)[..., None].expand(-1, -1, node_ids.shape[2])
        edge_ids = node_ids.gather(1, ends).unflatten(1, (-1, 2)).sum(dim=2)
        return torch.cat([node_ids + kinds[0], edge_ids + kinds[1]], dim=1)

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the cross-entropy, mean over fields and hidden atoms."""
        nodes = inputs["nodes"].long()
        hidden = hidden_BN[:, : nodes.shape[1]]
        guesses = torch.split(predicted_BNP[:, : nodes.shape[1]], self.sizes, dim=-1)
        parts = [
            relative_entropy(guess, nodes[..., field], hidden)
            for field, guess in enumerate(guesses)
        ]
        return torch.stack(parts).mean() / hidden.sum().clamp(min=1)


class GraphRules(TextRules):
    """The rules of molecules, which a table holds as SMILES."""

    # A sum grows with a molecule; of other modalities the number of tokens says little.
    summaries = (
        FEATURE_SUMMARIES,
        (*FEATURE_SUMMARIES, "sum"),
        TOKEN_SUMMARIES,
        ("token_mean", "token_sum"),
        (*FEATURE_SUMMARIES, "sum", *TOKEN_SUMMARIES, "token_sum"),
    )


class GraphTraining(ModalityTraining):
    """Training on graphs: fields of nodes and edges, and identifiers of nodes."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the fields of atoms and bonds."""
        del task
        return GraphTokenizerConfig(
            node_cardinalities=tuple(ATOM_FIELD_SIZES), edge_cardinalities=tuple(BOND_FIELD_SIZES)
        )

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return how often each value of each atom and bond field occurs, and both numbers."""
        return feature_rows(_counts, samples)


def _counts(sample: Sample) -> Array:
    nodes, edges = sample["nodes"], sample["edge_features"]
    kept = edges[sample["edge_mask"] > 0]
    return np.concatenate(
        [
            *_counts_by_field(nodes, _ATOM_IDS),
            *_counts_by_field(kept, _BOND_IDS),
            np.array([len(nodes), sample["edge_mask"].sum()], dtype=np.float32),
        ]
    )


def _counts_by_field(fields: Array, size: int) -> list[Array]:
    return [
        np.bincount(fields[:, field], minlength=size)[:size].astype(np.float32)
        for field in range(fields.shape[1])
    ]


def _draw(axes: Axes, sample: Sample) -> None:
    """Draw nodes where two eigenvectors of the Laplacian put them, coloured by a field."""
    nodes = sample["node_mask"] > 0
    places = sample["node_ids"][:, 1:3]
    for start, end in sample["edges"][sample["edge_mask"] > 0]:
        axes.plot(
            places[[start, end], 0],
            places[[start, end], 1],
            color="#999999",
            linewidth=0.8,
            zorder=1,
        )
    x, y = places[nodes].T
    axes.scatter(x, y, c=sample["nodes"][nodes, 0], s=14, cmap="tab20", zorder=2)


TRAINING = GraphTraining(
    preprocessor=GraphPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.25,
    restoration=GraphRestoration,
    display=Drawing(_draw),
    adaptation=GraphRules(),
)
