"""Reader of graphs in JSON: ``{"nodes": ..., "edges": ..., "edge_features": ...}``.

PyTorch Geometric's and OGB's names are taken as well: ``x`` or ``node_feat``, ``edge_index``
of two rows, and ``edge_attr`` or ``edge_feat``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.science.canonical_graph import in_canonical_order
from omnivec2.preprocess.formats.science.graph_fields import (
    ATOM_FIELD_SIZES,
    BOND_FIELD_SIZES,
    Graph,
    Ids,
    check_size,
)
from omnivec2.preprocess.formats.science.molecules import graph_from_atoms
from omnivec2.preprocess.formats.science.rdkit_module import rdkit_chem
from omnivec2.spec import Limits

_KEYS = ("nodes", "edges", "edge_features")
_OTHER_KEYS = {
    "x": "nodes",
    "node_feat": "nodes",
    "edge_index": "edges",
    "edge_attr": "edge_features",
    "edge_feat": "edge_features",
}
_SINGLE_BOND = (0, 0, 0)


def read_edge_list(value: dict[str, JsonValue], limits: Limits) -> Graph:
    """Check and convert an edge list; an edge given in both directions is kept once.

    Raises:
        InvalidInputError: a key is missing or unknown, or an id or index is out of range.
        TooLargeError: there are more nodes or edges than the limits.
    """
    value = _with_our_keys(value)
    if not {"nodes", "edges"} <= set(value) <= set(_KEYS):
        raise InvalidInputError(
            "expected a SMILES string, or an object with nodes, edges and optionally "
            f"edge_features, got {', '.join(sorted(value)) or 'an empty object'}",
            field="inputs",
        )
    nodes, edges = _list(value, "nodes"), _list(value, "edges")
    # Both directions of every edge may be given.
    check_size(len(nodes), (len(edges) + 1) // 2, limits)
    if not nodes:
        raise InvalidInputError("a graph needs at least 1 node (atom)", field="inputs.nodes")
    ends = _rows(edges, "edges", (len(nodes), len(nodes)))
    if "edge_features" in value:
        features = _rows(_list(value, "edge_features"), "edge_features", BOND_FIELD_SIZES)
    else:
        features = np.tile(np.array(_SINGLE_BOND, dtype=np.int32), (len(ends), 1))
    if len(features) != len(ends):
        raise InvalidInputError(
            f"expected one row of edge_features per edge ({len(ends)}), got {len(features)}",
            field="inputs.edge_features",
        )
    ends, features = _merge_duplicates(ends, features)
    check_size(len(nodes), len(ends), limits)
    nodes = [_atomic_number(n, i) if isinstance(n, str) else n for i, n in enumerate(nodes)]
    if all(type(node) is int for node in nodes):
        numbers = _rows([[node] for node in nodes], "nodes", (119,))[:, 0]
        kinds = features[:, 0]
        if len(kinds) and kinds.max() > 3:
            raise InvalidInputError(
                "with atomic numbers, bond types must be 0 to 3 (single, double, triple, aromatic)",
                field="inputs.edge_features",
            )
        pairs = [(int(a), int(b)) for a, b in ends]
        return graph_from_atoms([int(n) for n in numbers], pairs, [int(k) for k in kinds])
    return in_canonical_order(Graph(_rows(nodes, "nodes", ATOM_FIELD_SIZES), ends, features))


def _with_our_keys(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a graph with the keys of other libraries replaced by ours."""
    renamed = {_OTHER_KEYS.get(key, key): item for key, item in value.items()}
    if len(renamed) < len(value):
        raise InvalidInputError("nodes or edges are given twice, by two names", field="inputs")
    ends = renamed.get("edges")
    if "edge_index" not in value or not isinstance(ends, list):
        return renamed
    pair = [row for row in ends if isinstance(row, list)]
    if len(ends) != 2 or len(pair) != 2 or len(pair[0]) != len(pair[1]):
        raise InvalidInputError(
            "expected two lists of the same length, the first and second ends of all edges",
            field="inputs.edge_index",
        )
    return {**renamed, "edges": [[first, second] for first, second in zip(*pair, strict=True)]}


def _atomic_number(symbol: str, index: int) -> int:
    numbers: dict[str, int] = _element_numbers()
    if (number := numbers.get(symbol)) is None:
        raise InvalidInputError(
            f"expected an element's symbol, such as C or Cl, got {symbol[:40]!r}",
            field=f"inputs.nodes[{index}]",
        )
    return number


@lru_cache(maxsize=1)
def _element_numbers() -> dict[str, int]:
    table = rdkit_chem().GetPeriodicTable()
    return {table.GetElementSymbol(number): number for number in range(1, 119)}


def _list(value: dict[str, JsonValue], key: str) -> list[JsonValue]:
    found = value[key]
    if not isinstance(found, list):
        raise InvalidInputError(
            f"expected a list of {key}, got {json_type(found)}", field=f"inputs.{key}"
        )
    return found


def _rows(rows: Sequence[JsonValue], key: str, sizes: tuple[int, ...]) -> Ids:
    """Check lists of ids, each below its field's size; return int32 (rows, fields)."""
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(sizes):
            raise InvalidInputError(
                f"expected {len(sizes)} integers, got "
                + (f"{len(row)} values" if isinstance(row, list) else json_type(row)),
                field=f"inputs.{key}[{index}]",
            )
        for item, size in zip(row, sizes, strict=True):
            if type(item) is not int or not 0 <= item < size:
                below = f"integers below {', '.join(map(str, sizes))}"
                wanted = below if len(set(sizes)) > 1 else f"integers from 0 to {size - 1}"
                raise InvalidInputError(
                    f"expected {wanted}, got {str(item)[:40]}",
                    field=f"inputs.{key}[{index}]",
                )
    return np.array(rows, dtype=np.int32).reshape(-1, len(sizes))


def _merge_duplicates(ends: Ids, features: Ids) -> tuple[Ids, Ids]:
    kept: dict[tuple[int, int], int] = {}
    for index, (first, second) in enumerate(ends.tolist()):
        if first == second:
            raise InvalidInputError(
                f"an edge must join two nodes, got {first} twice", field=f"inputs.edges[{index}]"
            )
        other = kept.setdefault((min(first, second), max(first, second)), index)
        if not np.array_equal(features[other], features[index]):
            raise InvalidInputError(
                f"edge {first}-{second} is given twice with other features",
                field=f"inputs.edge_features[{index}]",
            )
    chosen = list(kept.values())
    return ends[chosen], features[chosen]
