"""Graphs: atoms or other nodes, each removed with its bonds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.explanations.occlusion import Occlusion, Segment, even_spans
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a graph into its nodes, neighbours in its order together if there are many."""
    sample = prepared.samples[0]
    count = len(sample["nodes"])
    order = prepared.context["order"]
    groups = [range(start, stop) for start, stop in even_spans(count, most)]

    def mask(segment: int, index: int) -> Sample:
        return _without(sample, groups[segment])

    return Occlusion(
        "atoms" if len(groups) == count else "groups of atoms",
        "a graph without the atom and its bonds",
        [Segment(_place(group, order)) for group in groups],
        mask,
        {"atoms": count, "order": "canonical" if order is None else "input"},
    )


def _place(group: Sequence[int], order: Array | None) -> dict[str, JsonValue]:
    places = [int(node if order is None else order[node]) for node in group]
    return {"atom": places[0]} if len(places) == 1 else {"atoms": [*places]}


def _without(sample: Sample, removed: Sequence[int]) -> Sample:
    """Return a graph without some of its nodes; the identifiers of the others stay.

    Of a graph of nothing else the nodes stay, with their fields at 0.
    """
    kept = np.setdiff1d(np.arange(len(sample["nodes"])), removed)
    if not len(kept):
        return {**sample, "nodes": np.zeros_like(sample["nodes"])}
    place = np.full(len(sample["nodes"]), -1, np.int32)
    place[kept] = np.arange(len(kept))
    edges = place[sample["edges"]]
    whole = (edges >= 0).all(axis=1)
    if not whole.any():  # as in prepare: a graph without edges has one that is masked out
        edges, whole = np.zeros_like(edges), np.arange(len(edges)) == 0
        mask = np.zeros(1, sample["edge_mask"].dtype)
    else:
        mask = sample["edge_mask"][whole]
    return {
        "nodes": sample["nodes"][kept],
        "node_ids": sample["node_ids"][kept],
        "node_mask": sample["node_mask"][kept],
        "edges": edges[whole],
        "edge_features": sample["edge_features"][whole],
        "edge_mask": mask,
    }
