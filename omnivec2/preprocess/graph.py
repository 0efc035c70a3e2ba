"""Graphs: SMILES, MOL/SDF or edge lists -> atom and bond fields with Laplacian identifiers."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import (
    OCTET_STREAM,
    Parameters,
    Prepared,
    Preprocessor,
    Sample,
    json_type,
)
from omnivec2.preprocess.formats.guards.json_text import decode_utf8, parse_json, unwrap
from omnivec2.preprocess.formats.science.edge_lists import read_edge_list
from omnivec2.preprocess.formats.science.graph_fields import (
    ATOM_FIELD_SIZES,
    BOND_FIELD_SIZES,
    Graph,
    Ids,
    check_size,
)
from omnivec2.preprocess.formats.science.molecules import read_block, read_smiles
from omnivec2.spec import Limits, Modality, TensorSpec

__all__ = [
    "ATOM_FIELD_SIZES",
    "BOND_FIELD_SIZES",
    "PREPROCESSOR",
    "Graph",
    "GraphParameters",
    "GraphPreprocessor",
    "laplacian_ids",
]

_SMILES_LINE = re.compile(rb"[A-Za-z0-9@+\-\[\]()=#$:/\\.%*~]+([ \t][ -~\t]*)?")

_SAME_EIGENVALUE = 1e-6
"""Eigenvalues of a Laplacian closer than this are one eigenvalue found twice."""

_SAME_WEIGHT = 1e-6
"""Symmetric atoms have equal weights up to rounding; the first of them is meant."""


class GraphParameters(Parameters):
    """Size of the node identifiers."""

    laplacian_dims: int = Field(default=16, ge=1, le=64, description="values of an identifier")


class GraphPreprocessor(Preprocessor[GraphParameters, Graph]):
    """Reads molecules with RDKit and general graphs from JSON; both become id arrays.

    Text is a SMILES string, of which only the first word counts (a name may follow). Of
    an SDF file the first molecule is taken. Hydrogens stay implicit, as in OGB.
    """

    modality = Modality.GRAPH
    media_types: ClassVar = {
        "text/plain": "SMILES",
        "chemical/x-daylight-smiles": "SMILES",
        "chemical/x-mdl-molfile": "MOL",
        "chemical/x-mdl-sdfile": "SDF",
        "application/json": "JSON",
    }
    parameters_type = GraphParameters
    default_limits = Limits(bytes=2**20, characters=2_000, nodes=512, edges=1_024)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Nodes and edges; both counts are dynamic, masks mark padding."""
        fields = ", ".join(map(str, ATOM_FIELD_SIZES))
        specs: tuple[tuple[str, str, tuple[int, ...], str], ...] = (
            ("nodes", "int32", (-1, 9), f"OGB atom fields, ids below {fields}"),
            ("node_ids", "float32", (-1, self.parameters.laplacian_dims), "Laplacian eigenvectors"),
            ("node_mask", "uint8", (-1,), "1 for nodes, 0 for padding"),
            ("edges", "int32", (-1, 2), "indices of the two ends; every bond once"),
            ("edge_features", "int32", (-1, 3), "OGB bond fields, ids below 5, 6, 2"),
            ("edge_mask", "uint8", (-1,), "1 for edges, 0 for padding"),
        )
        return tuple(
            TensorSpec.model_validate(
                {"name": name, "dtype": dtype, "shape": shape, "description": text}
            )
            for name, dtype, shape, text in specs
        )

    def sniff(self, data: bytes) -> str | None:
        """Tell MOL and SDF by their marks, JSON by its brace; other one-line text is SMILES."""
        if b"\nM  END" in data or b"V2000" in data[:1024] or b"V3000" in data[:1024]:
            return "chemical/x-mdl-sdfile" if b"$$$$" in data else "chemical/x-mdl-molfile"
        text = data.strip()
        if text.startswith(b"{"):
            return "application/json"
        return "text/plain" if _SMILES_LINE.fullmatch(text) else None

    def decode(self, data: bytes, media_type: str | None = None) -> Graph:
        """Decode a SMILES string, MOL, SDF or JSON file."""
        if media_type in (None, OCTET_STREAM):
            media_type = self.sniff(data)
        name = self.media_types.get(media_type or "")
        if name is None:
            raise UndecodableError(f"expected a molecule as one of {self.accepts}")
        if name == "JSON":
            return self.decode_json(unwrap(parse_json(data)))
        return self._molecule(decode_utf8(data), block=name in ("MOL", "SDF"))

    @property
    def json_example(self) -> JsonValue:
        """Aspirin as SMILES."""
        return "CC(=O)Oc1ccccc1C(=O)O"

    def decode_json(self, value: JsonValue) -> Graph:
        """A SMILES string, the text of a MOL or SDF file, or an edge list.

        An edge list is ``{"nodes": [...], "edges": [[u, v], ...], "edge_features": [[3
        ids], ...]}``, its nodes either OGB's nine ids each, or atomic numbers; with
        these RDKit works out the other fields, and of ``edge_features`` only the bond
        type counts. Without ``edge_features`` all bonds are single.
        """
        if isinstance(value, str):
            if len(value) > self.limits.bytes:
                raise TooLargeError(f"the text is longer than {self.limits.bytes:,} characters")
            return self._molecule(value, block="\n" in value.strip())
        if isinstance(value, dict):
            return self._usable(read_edge_list(value, self.limits))
        raise InvalidInputError(
            f"expected a SMILES string or an object with nodes and edges, got {json_type(value)}",
            field="inputs",
        )

    def prepare(self, native: Graph) -> Prepared:
        """Add identifiers and masks; a graph without edges gets one masked-out edge."""
        edges, features = native.edges, native.edge_features
        mask = np.ones(len(edges), dtype=np.uint8)
        if not len(edges):
            edges, features = np.zeros((1, 2), np.int32), np.zeros((1, 3), np.int32)
            mask = np.zeros(1, dtype=np.uint8)
        ids = laplacian_ids(len(native.nodes), native.edges, self.parameters.laplacian_dims)
        sample: Sample = {
            "nodes": native.nodes,
            "node_ids": ids,
            "node_mask": np.ones(len(native.nodes), dtype=np.uint8),
            "edges": edges,
            "edge_features": features,
            "edge_mask": mask,
        }
        return Prepared([sample])

    def _molecule(self, text: str, *, block: bool) -> Graph:
        return self._usable(
            read_block(text, self.limits) if block else read_smiles(text, self.limits)
        )

    def _usable(self, graph: Graph) -> Graph:
        if not len(graph.nodes):
            raise InvalidInputError("a graph needs at least 1 node (atom)", field="inputs")
        check_size(len(graph.nodes), len(graph.edges), self.limits)
        return graph


def laplacian_ids(nodes: int, edges: Ids, dims: int) -> npt.NDArray[np.float32]:
    """Identify nodes by eigenvectors of the symmetric normalised Laplacian.

    Eigenvectors come in the order of their eigenvalues. None is skipped, not even the
    trivial first: only all of them together tell every node from every other (TokenGT,
    Kim et al., 2022). Eigenvectors are free in sign, and within a repeated eigenvalue in
    direction; both are fixed by pivoting: the node with the largest weight in what is left
    of the eigenspace (the first of equals) gets a positive value, and its projection on
    the eigenspace is the next vector. The answer so depends on the graph and the order of
    its nodes, not on the linear algebra library.

    Args:
        nodes: number of nodes.
        edges: int32 (edges, 2).
        dims: values per node; missing ones are zero, more are cut.

    Returns:
        float32 (nodes, dims).
    """
    adjacency = np.zeros((nodes, nodes))
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1.0
    degree = adjacency.sum(axis=1)
    scale = np.where(degree > 0, 1.0 / np.sqrt(np.maximum(degree, 1.0)), 0.0)
    laplacian = np.diag((degree > 0).astype(float)) - scale[:, None] * adjacency * scale
    values, vectors = np.linalg.eigh(laplacian)
    ids = np.zeros((nodes, dims), dtype=np.float32)
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > _SAME_EIGENVALUE)
    for start, stop in zip(starts, [*starts[1:], nodes], strict=True):
        if start >= dims:
            break
        _fill_pivoted(ids[:, start : min(stop, dims)], vectors[:, start:stop])
    return ids


def _fill_pivoted(out: npt.NDArray[np.float32], space: npt.NDArray[np.float64]) -> None:
    """Write a basis of ``space`` (nodes, k; orthonormal columns) that is unique to it."""
    for column in range(out.shape[1]):
        weights = np.square(space).sum(axis=1)
        pivot = int(np.argmax(weights > weights.max() - _SAME_WEIGHT))
        direction = space[pivot] / np.linalg.norm(space[pivot])
        out[:, column] = space @ direction
        space = space - np.outer(space @ direction, direction)


PREPROCESSOR = GraphPreprocessor
