from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.formats.science.edge_lists import read_edge_list
from omnivec2.preprocess.formats.science.graph_fields import check_size
from omnivec2.spec import Limits

LIMITS = Limits(nodes=4, edges=3)
ATOM = [5, 0, 4, 5, 3, 0, 2, 0, 0]


def test_an_edge_given_in_both_directions_is_kept_once():
    graph = read_edge_list({"nodes": [ATOM, ATOM], "edges": [[0, 1], [1, 0]]}, LIMITS)
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.edge_features.tolist() == [[0, 0, 0]]
    assert graph.nodes.tolist() == [ATOM, ATOM]


def test_fields_of_atomic_numbers_are_derived():
    graph = read_edge_list(
        {"nodes": [6, 8], "edges": [[0, 1]], "edge_features": [[1, 0, 0]]}, LIMITS
    )
    assert graph.nodes[:, 0].tolist() == [5, 7]
    assert graph.edge_features[0, 0] == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"nodes": [6]}, "got nodes"),
        ({}, "an empty object"),
        ({"nodes": [6], "edges": [], "color": 1}, "got color, edges, nodes"),
        ({"nodes": 6, "edges": []}, "expected a list of nodes, got a number"),
        ({"nodes": [], "edges": []}, "at least 1 node"),
        ({"nodes": [6, 6], "edges": [[0]]}, "expected 2 integers, got 1 values"),
        ({"nodes": [6, 6], "edges": ["x"]}, "got a string"),
        ({"nodes": [6, 6], "edges": [[0, 2]]}, "integers from 0 to 1, got 2"),
        ({"nodes": [6, 6], "edges": [[0, True]]}, "got True"),
        ({"nodes": [6, 6], "edges": [[1, 1]]}, "got 1 twice"),
        ({"nodes": [6, 6], "edges": [[0, 1]], "edge_features": []}, "one row of edge_features"),
        (
            {"nodes": [6, 6], "edges": [[0, 1], [1, 0]], "edge_features": [[0, 0, 0], [1, 0, 0]]},
            "edge 1-0 is given twice",
        ),
        (
            {"nodes": [6, 6], "edges": [[0, 1]], "edge_features": [[4, 0, 0]]},
            "bond types must be 0 to 3",
        ),
        ({"nodes": [1, 1, 1], "edges": [[0, 1], [0, 2]]}, "not a molecule"),
    ],
)
def test_edge_lists_that_make_no_graph_are_refused(value, message):
    with pytest.raises(InvalidInputError, match=message):
        read_edge_list(value, LIMITS)


def test_sizes_are_checked_first_and_again_without_the_doubles():
    with pytest.raises(TooLargeError, match="5 nodes, the limit is 4"):
        read_edge_list({"nodes": [6] * 5, "edges": []}, LIMITS)
    edges = [[0, 1], [1, 2], [2, 3], [3, 0]]
    with pytest.raises(TooLargeError, match="4 edges, the limit is 3"):
        read_edge_list({"nodes": [6] * 4, "edges": edges}, LIMITS)
    check_size(10**6, 10**6, Limits())
