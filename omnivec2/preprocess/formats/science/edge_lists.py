"""Graphs written out as JSON: ``{"nodes": ..., "edges": ..., "edge_features": ...}``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.science.graph_fields import (
    ATOM_FIELD_SIZES,
    BOND_FIELD_SIZES,
    Graph,
    Ids,
    check_size,
)
from omnivec2.preprocess.formats.science.molecules import from_atoms
from omnivec2.spec import Limits

_KEYS = ("nodes", "edges", "edge_features")
_SINGLE_BOND = (0, 0, 0)


def read_edge_list(value: dict[str, JsonValue], limits: Limits) -> Graph:
    """Check and convert an edge list; an edge given in both directions is kept once.

    Raises:
        InvalidInputError: a key is missing or unknown, or an id or index is out of range.
        TooLargeError: more nodes or edges than the limits.
    """
    if not {"nodes", "edges"} <= set(value) <= set(_KEYS):
        raise InvalidInputError(
            "expected an object with nodes, edges and perhaps edge_features, "
            f"got {', '.join(sorted(value)) or 'an empty object'}",
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
    ends, features = _once(ends, features)
    check_size(len(nodes), len(ends), limits)
    if all(type(node) is int for node in nodes):
        numbers = _rows([[node] for node in nodes], "nodes", (119,))[:, 0]
        kinds = features[:, 0]
        if len(kinds) and kinds.max() > 3:
            raise InvalidInputError(
                "with atomic numbers, bond types must be 0 to 3 (single, double, triple, aromatic)",
                field="inputs.edge_features",
            )
        pairs = [(int(a), int(b)) for a, b in ends]
        return from_atoms([int(n) for n in numbers], pairs, [int(k) for k in kinds])
    return Graph(_rows(nodes, "nodes", ATOM_FIELD_SIZES), ends, features)


def _list(value: dict[str, JsonValue], key: str) -> list[JsonValue]:
    found = value[key]
    if not isinstance(found, list):
        raise InvalidInputError(
            f"expected a list of {key}, got {json_type(found)}", field=f"inputs.{key}"
        )
    return found


def _rows(rows: Sequence[JsonValue], key: str, sizes: tuple[int, ...]) -> Ids:
    """Lists of ids, each below its field's size, as int32 (rows, fields)."""
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(sizes):
            raise InvalidInputError(
                f"expected {len(sizes)} integers, got "
                + (f"{len(row)} values" if isinstance(row, list) else json_type(row)),
                field=f"inputs.{key}[{index}]",
            )
        for item, size in zip(row, sizes, strict=True):
            if type(item) is not int or not 0 <= item < size:
                raise InvalidInputError(
                    f"expected integers below {', '.join(map(str, sizes))}, got {str(item)[:40]}",
                    field=f"inputs.{key}[{index}]",
                )
    return np.array(rows, dtype=np.int32).reshape(-1, len(sizes))


def _once(ends: Ids, features: Ids) -> tuple[Ids, Ids]:
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
