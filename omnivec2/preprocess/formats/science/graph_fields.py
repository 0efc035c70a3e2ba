"""A graph in OGB's integer fields, which molecules and edge lists are read into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnivec2.errors import TooLargeError
from omnivec2.spec import Limits

ATOM_FIELD_SIZES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
"""Ids per atom field: atomic number, chirality, degree, formal charge, hydrogens, radical
electrons, hybridization, aromatic, in a ring. Source: OGB's ``allowable_features`` (Hu et
al., 2020); the last id of all but the two flags is "misc"."""

BOND_FIELD_SIZES = (5, 6, 2)
"""Ids per bond field: type, stereo, conjugated. Source: as above."""

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Graph:
    """A graph without features of its own but OGB's fields; every edge is stored once.

    Attributes:
        nodes: An int32 array (nodes, 9), each field below its size in :data:`ATOM_FIELD_SIZES`.
        edges: An int32 array (edges, 2) of the indices of the two ends.
        edge_features: An int32 array (edges, 3), fields below :data:`BOND_FIELD_SIZES`.
        order: An int32 array (nodes,), the index of each node among those that were sent; None
            if that is not known.
    """

    nodes: Ids
    edges: Ids
    edge_features: Ids
    order: Ids | None = None


def check_size(nodes: int, edges: int, limits: Limits) -> None:
    """Refuse graphs over the limits.

    Raises:
        TooLargeError: too many nodes or edges.
    """
    for count, limit, name in ((nodes, limits.nodes, "nodes"), (edges, limits.edges, "edges")):
        if limit is not None and count > limit:
            raise TooLargeError(f"{count:,} {name}, the limit is {limit:,}", field="inputs")
