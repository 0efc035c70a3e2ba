"""The canonical order of a graph whose nodes and edges are known by their fields alone.

Colour refinement (Weisfeiler and Leman, 1968): nodes are told apart by their fields, then by what
their neighbours are, and so on. Of those that stay alike one is set apart, and refinement goes on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.formats.science.graph_fields import Graph, Ids

Colours = npt.NDArray[np.int64]


def in_canonical_order(graph: Graph) -> Graph:
    """Return a graph with its nodes and edges in an order that does not depend on theirs.

    Which one of several nodes is set apart makes no difference where a symmetry of the graph
    exchanges them. Nodes that stay alike without one, as in some strongly regular graphs, keep
    the order in which they came.
    """
    colours = _kinds(graph.nodes)
    half_edges = np.concatenate([graph.edges, graph.edges[:, ::-1]]).astype(np.int64)
    kinds = np.tile(_kinds(graph.edge_features), 2)
    colours = _refine(colours, half_edges, kinds)
    while (repeated := np.flatnonzero(np.bincount(colours) > 1)).size:
        one = np.flatnonzero(colours == repeated[0])[0]
        colours = 2 * colours + 1
        colours[one] -= 1
        colours = _refine(colours, half_edges, kinds)
    ends = np.sort(colours[graph.edges], axis=1).reshape(-1, 2)
    by_ends = np.lexsort((ends[:, 1], ends[:, 0]))
    order = np.argsort(colours)
    return Graph(
        graph.nodes[order],
        ends[by_ends].astype(np.int32),
        graph.edge_features[by_ends],
        order.astype(np.int32),
    )


def _refine(colours: Colours, half_edges: Colours, kinds: Colours) -> Colours:
    """Split colours until nodes of the same one have neighbours of the same ones.

    Args:
        colours: A number per node.
        half_edges: Both directions of every edge (2 edges, 2).
        kinds: A number per half edge.

    Returns:
        Colours 0, 1, ...; their order follows from that of the given ones and from the graph.
    """
    colours, count = _numbered(colours, np.zeros(len(colours), np.uint64))
    while count < len(colours):
        neighbours = np.zeros(len(colours), np.uint64)
        seen = _mixed(kinds * (len(colours) + 1) + colours[half_edges[:, 1]])
        np.add.at(neighbours, half_edges[:, 0], seen)  # a sum: their order does not matter
        colours, found = _numbered(colours, neighbours)
        if found == count:
            break
        count = found
    return colours


def _numbered(colours: Colours, details: npt.NDArray[np.uint64]) -> tuple[Colours, int]:
    """Number the distinct pairs in ascending order; return the numbers and how many there are."""
    order = np.lexsort((details, colours))
    new = (np.diff(colours[order]) != 0) | (np.diff(details[order]) != 0)
    numbers = np.concatenate([[0], np.cumsum(new)])
    result = np.empty(len(colours), np.int64)
    result[order] = numbers
    return result, int(numbers[-1]) + 1


def _mixed(values: Colours) -> npt.NDArray[np.uint64]:
    """Spread numbers over 64 bits, so that different sets of them have different sums.

    Source: the finalizer of splitmix64 (Steele, Lea and Flood, 2014).
    """
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), np.uint64)


def _kinds(rows: Ids) -> Colours:
    """Number the rows by their values, equal ones alike; the order is that of the values."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
