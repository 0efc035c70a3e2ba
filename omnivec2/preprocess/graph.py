"""Graphs: SMILES, InChI, MOL/SDF or edge lists -> atom and bond fields, Laplacian identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import (
    OCTET_STREAM,
    Array,
    DynamicAxis,
    Parameters,
    Prepared,
    Preprocessor,
    Sample,
    input_shape,
    json_type,
)
from omnivec2.preprocess.formats.guards.json_text import parse_json, unwrap_inputs
from omnivec2.preprocess.formats.science.edge_lists import read_edge_list
from omnivec2.preprocess.formats.science.graph_fields import (
    ATOM_FIELD_SIZES,
    BOND_FIELD_SIZES,
    Graph,
    Ids,
    check_size,
)
from omnivec2.preprocess.formats.science.molecule_texts import (
    decode_molecules,
    looks_like_text,
    split_molecules,
)
from omnivec2.preprocess.formats.science.molecules import read_molecule
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

__all__ = [
    "ATOM_FIELD_SIZES",
    "BOND_FIELD_SIZES",
    "PREPROCESSOR",
    "Graph",
    "GraphParameters",
    "GraphPreprocessor",
    "laplacian_ids",
]

_NODE_INPUTS = ("nodes", "node_ids", "node_mask")
_EDGE_INPUTS = ("edges", "edge_features", "edge_mask")

_SAME_EIGENVALUE = 1e-6
"""Eigenvalues of a Laplacian closer than this are one eigenvalue found twice."""

_SAME_WEIGHT = 1e-6
"""Symmetric atoms have equal weights up to rounding; the first of them is chosen."""


class GraphParameters(Parameters):
    """The size of the node identifiers."""

    laplacian_dims: int = Field(default=16, ge=1, le=64, description="values of an identifier")


class GraphPreprocessor(Preprocessor[GraphParameters, Graph]):
    """Reads molecules with RDKit and general graphs from JSON; both become id arrays.

    Text is a SMILES string or an InChI, of which only the first word counts (a name may
    follow), or a MOL or SDF file. Atoms are put in a canonical order first, so that a molecule
    has the same arrays however it is written. Hydrogens stay implicit, as in OGB.
    """

    modality = Modality.GRAPH
    media_types: ClassVar = {
        "text/plain": "SMILES",
        "chemical/x-daylight-smiles": "SMILES",
        "chemical/x-inchi": "InChI",
        "text/csv": "SMILES",
        "chemical/x-mdl-molfile": "MOL",
        "chemical/x-mdl-sdfile": "SDF",
        "application/json": "JSON",
    }
    parameters_type = GraphParameters
    answers_in_slices = True
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

    @classmethod
    def dynamic_axes(cls, head: HeadSpec) -> dict[str, DynamicAxis]:
        """Return the axes of the nodes and of the edges."""
        nodes, edges = head.limits.nodes or 4096, head.limits.edges or 8192
        return {
            "nodes": DynamicAxis(_NODE_INPUTS, 1, nodes, (1, min(12, nodes), min(38, nodes))),
            "edges": DynamicAxis(_EDGE_INPUTS, 1, edges, (1, min(13, edges), min(41, edges))),
        }

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw graphs with edges between any nodes; every graph but the first is padded."""
        nodes, edges = lengths["nodes"], lengths["edges"]
        real_nodes = rng.integers(1, nodes + 1, batch)
        real_edges = rng.integers(0, edges + 1, batch)
        real_nodes[0], real_edges[0] = nodes, edges
        node_mask = np.arange(nodes) < real_nodes[:, None]
        edge_mask = np.arange(edges) < real_edges[:, None]
        ends = rng.integers(0, real_nodes[:, None, None], (batch, edges, 2))
        ids = rng.normal(0, 0.3, (batch, nodes, input_shape(head, "node_ids")[-1]))
        atoms = rng.integers(0, ATOM_FIELD_SIZES, (batch, nodes, len(ATOM_FIELD_SIZES)))
        bonds = rng.integers(0, BOND_FIELD_SIZES, (batch, edges, len(BOND_FIELD_SIZES)))
        return {
            "nodes": atoms * node_mask[..., None],
            "node_ids": ids * node_mask[..., None],
            "node_mask": node_mask,
            "edges": ends * edge_mask[..., None],
            "edge_features": bonds * edge_mask[..., None],
            "edge_mask": edge_mask,
        }

    def sniff(self, data: bytes) -> str | None:
        """Detect MOL and SDF by their marks, JSON by its brace; other text is SMILES or InChI."""
        if b"\nM  END" in data or b"V2000" in data[:1024] or b"V3000" in data[:1024]:
            return "chemical/x-mdl-sdfile" if b"$$$$" in data else "chemical/x-mdl-molfile"
        if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b'["')):
            return "application/json"
        return "text/plain" if looks_like_text(data) else None

    def decode(self, data: bytes, media_type: str | None = None) -> Graph:
        """Decode a SMILES string, an InChI, a MOL, SDF or JSON file.

        Of several molecules only the first of an SDF file is read, with a note; see
        :meth:`split_file`.
        """
        if media_type in (None, OCTET_STREAM):
            media_type = self.sniff(data)
        name = self.media_types.get(media_type or "")
        if name is None:
            raise UndecodableError(f"expected a molecule as one of {self.accepts}")
        if name == "JSON":
            return self.decode_json(unwrap_inputs(parse_json(data)))
        return self._check_graph(read_molecule(decode_molecules(data), self.limits))

    def split_file(self, data: bytes, media_type: str | None = None) -> list[bytes] | None:
        """Split an SDF file into its molecules, and lines of SMILES or InChI."""
        if self.media_types.get(media_type or self.sniff(data) or "", "JSON") == "JSON":
            return None
        molecules = self._several(decode_molecules(data))
        return None if molecules is None else [text.encode() for text in molecules]

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list, the text of an SDF file, or lines of SMILES or InChI."""
        if isinstance(value, str) and len(value) <= self.limits.bytes:
            molecules = self._several(value)
            return None if molecules is None else list(molecules)
        return super().split(value)

    @property
    def json_example(self) -> JsonValue:
        """Aspirin as SMILES."""
        return "CC(=O)Oc1ccccc1C(=O)O"

    def decode_json(self, value: JsonValue) -> Graph:
        """Decode a SMILES string, the text of a MOL or SDF file, or an edge list.

        An edge list is ``{"nodes": [...], "edges": [[u, v], ...], "edge_features": [[3
        ids], ...]}``. Its nodes are either OGB's nine ids each, or atomic numbers or
        elements' symbols, from which RDKit derives the other fields; then only the bond type
        of ``edge_features`` counts. Without ``edge_features`` all bonds are single.
        """
        if isinstance(value, str):
            if len(value) > self.limits.bytes:
                raise TooLargeError(f"the text is longer than {self.limits.bytes:,} characters")
            return self._check_graph(read_molecule(value, self.limits))
        if isinstance(value, dict):
            return self._check_graph(read_edge_list(value, self.limits))
        raise InvalidInputError(
            f"expected a SMILES string or an object with nodes and edges, got {json_type(value)}",
            field="inputs",
        )

    def prepare(self, native: Graph) -> Prepared:
        """Add identifiers and masks; a graph without edges gets one masked-out edge.

        Context: ``order``, for every node its index among those that were sent, if it is known.
        """
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
        return Prepared([sample], {"order": native.order})

    def _several(self, text: str) -> list[str] | None:
        molecules = split_molecules(text)
        if len(molecules) > self.limits.inputs:
            raise TooLargeError(
                f"{len(molecules):,} molecules in one request, "
                f"at most {self.limits.inputs:,} are taken",
                field="inputs",
            )
        return molecules if len(molecules) > 1 else None

    def _check_graph(self, graph: Graph) -> Graph:
        if not len(graph.nodes):
            raise InvalidInputError("a graph needs at least 1 node (atom)", field="inputs")
        check_size(len(graph.nodes), len(graph.edges), self.limits)
        return graph


def laplacian_ids(nodes: int, edges: Ids, dims: int) -> npt.NDArray[np.float32]:
    """Compute identifiers of nodes: eigenvectors of the symmetric normalised Laplacian.

    Eigenvectors are in the order of their eigenvalues. None is skipped, not even the
    trivial first: only all of them together distinguish every node from every other
    (TokenGT, Kim et al., 2022). An eigenvector is free in sign and, within a repeated
    eigenvalue, in direction. Pivoting fixes both: the node with the largest weight in the
    rest of the eigenspace (the first of equals) gets a positive value, and its projection
    on the eigenspace is the next vector. The result thus depends on the graph and the order
    of its nodes, not on the linear algebra library.

    Args:
        nodes: The number of nodes.
        edges: An int32 array (edges, 2).
        dims: The number of values per node; missing ones are zero, more are cut.

    Returns:
        A float32 array (nodes, dims).
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
