from __future__ import annotations

import itertools

import numpy as np
import pytest

from omnivec2.preprocess.formats.science.canonical_graph import in_canonical_order
from omnivec2.preprocess.formats.science.graph_fields import Graph


def graph_of(nodes, edges):
    ends = np.array(edges, np.int32).reshape(-1, 2)
    return Graph(np.zeros((nodes, 9), np.int32), ends, np.zeros((len(ends), 3), np.int32))


def permuted(graph, seed):
    rng = np.random.default_rng(seed)
    order, rows = rng.permutation(len(graph.nodes)), rng.permutation(len(graph.edges))
    edges = np.argsort(order).astype(np.int32)[graph.edges]
    return Graph(graph.nodes[order], edges[rows][:, ::-1], graph.edge_features[rows])


GRAPHS = {
    "one node": graph_of(1, []),
    "many alone": graph_of(20, []),
    "ring": graph_of(12, [(i, (i + 1) % 12) for i in range(12)]),
    "three squares": graph_of(12, [(i, i + 1 if i % 4 < 3 else i - 3) for i in range(12)]),
    "cube": graph_of(8, [(a, a ^ 1 << b) for a in range(8) for b in range(3) if a < a ^ 1 << b]),
    "star": graph_of(30, [(0, i) for i in range(1, 30)]),
    "complete": graph_of(9, list(itertools.combinations(range(9), 2))),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_any_order_of_a_graph_becomes_the_same(name):
    graph = GRAPHS[name]
    expected = in_canonical_order(graph)
    for seed in range(10):
        found = in_canonical_order(permuted(graph, seed))
        np.testing.assert_array_equal(found.edges, expected.edges)
    assert in_canonical_order(expected).edges.dtype == np.int32


def test_nodes_and_edges_take_their_fields_along():
    graph = graph_of(6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    graph.nodes[:, 0] = [5, 6, 7, 5, 5, 8]
    graph.edge_features[:, 0] = [0, 1, 2, 0, 3]

    def described(each):
        kinds = each.nodes[:, 0]
        pairs = zip(each.edges.tolist(), each.edge_features[:, 0].tolist(), strict=True)
        return sorted((*sorted((int(kinds[a]), int(kinds[b]))), kind) for (a, b), kind in pairs)

    found = in_canonical_order(permuted(graph, 3))
    assert described(found) == described(graph)
    assert sorted(found.nodes[:, 0].tolist()) == [5, 5, 5, 6, 7, 8]


def test_two_triangles_are_not_a_ring_of_six():
    triangles = graph_of(6, [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)])
    ring = graph_of(6, [(i, (i + 1) % 6) for i in range(6)])
    assert not np.array_equal(in_canonical_order(triangles).edges, in_canonical_order(ring).edges)
