from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess import collate
from omnivec2.preprocess.graph import (
    ATOM_FIELD_SIZES,
    BOND_FIELD_SIZES,
    GraphParameters,
    GraphPreprocessor,
    laplacian_ids,
)
from omnivec2.spec import Limits

DATA = Path(__file__).parents[2] / "data" / "graph"
FILES = sorted(path for path in DATA.iterdir() if path.suffix != ".md")
CAFFEINE = "CN1C=NC2=C1C(=O)N(C)C(=O)N2C"


@pytest.fixture
def preprocess() -> GraphPreprocessor:
    return GraphPreprocessor(GraphParameters())


def same(first, second) -> bool:
    names = ("nodes", "edges", "edge_features")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_format_is_detected_and_read(preprocess, path):
    data = path.read_bytes()
    assert preprocess.sniff(data) in preprocess.media_types
    graph = preprocess.decode(data)
    assert len(graph.nodes) == {"caffeine": 14, "aspirin": 13}.get(path.stem.split("_")[0], 3)


def test_smiles_and_mol_files_give_the_same_molecule(preprocess):
    from_file = preprocess.decode((DATA / "caffeine.mol").read_bytes())
    assert same(from_file, preprocess.decode_json(CAFFEINE))
    assert same(from_file, preprocess.decode_json((DATA / "caffeine.mol").read_text()))


def test_only_the_first_molecule_of_an_sdf_file_is_read(preprocess):
    graph = preprocess.decode((DATA / "two_molecules.sdf").read_bytes(), "chemical/x-mdl-sdfile")
    assert graph.nodes[:, 0].tolist() == [5, 5, 7]


def test_fields_are_those_of_ogb(preprocess):
    # The example in OGB's own source: chiral carbon and double bond of this molecule.
    graph = preprocess.decode_json("Cl[C@H](/C=C/C)Br")
    # In the canonical order it is C/C=C/[C@@H](Cl)Br.
    assert graph.nodes[3].tolist() == [5, 1, 4, 5, 1, 0, 2, 0, 0]
    assert graph.edge_features[1].tolist() == [1, 2, 0]


@pytest.mark.parametrize("smiles", ["[Cu+7]", "*", "C->[Fe]", "[He]", "FS(F)(F)(F)(F)F", "[CH3-]"])
def test_unusual_atoms_and_bonds_stay_within_the_field_sizes(preprocess, smiles):
    graph = preprocess.decode_json(smiles)
    assert (graph.nodes < ATOM_FIELD_SIZES).all()
    assert (graph.edge_features < BOND_FIELD_SIZES).all()
    assert min(graph.nodes.min(), graph.edge_features.min(initial=0)) >= 0


def test_tensors_have_the_declared_names_types_and_shapes(preprocess):
    sample = preprocess.prepare(preprocess.decode_json(CAFFEINE)).samples[0]
    assert list(sample) == [spec.name for spec in preprocess.inputs]
    for spec in preprocess.inputs:
        array = sample[spec.name]
        assert array.dtype == spec.dtype
        assert all(want in (-1, got) for got, want in zip(array.shape, spec.shape, strict=True))
    assert len(sample["edges"]) == 15
    assert sample["edge_mask"].all()


def test_a_molecule_without_bonds_has_one_masked_out_edge(preprocess):
    sample = preprocess.prepare(preprocess.decode_json("C")).samples[0]
    assert sample["edges"].shape == (1, 2)
    assert sample["edge_mask"].tolist() == [0]


def test_padding_in_a_batch_is_masked(preprocess):
    samples = [preprocess.prepare(preprocess.decode_json(s)).samples[0] for s in ("CCO", "CCCCO")]
    batch = collate(samples)
    assert batch["node_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["edge_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_all_identifiers_together_are_orthonormal(preprocess):
    ids = preprocess.prepare(preprocess.decode_json(CAFFEINE)).samples[0]["node_ids"]
    assert ids.dtype == np.float32
    assert np.allclose(ids @ ids.T, np.eye(14), atol=1e-5)
    assert not ids[:, 14:].any()


def test_identifiers_are_eigenvectors_in_the_order_of_eigenvalues():
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]], dtype=np.int32)
    ids = laplacian_ids(4, edges, 4).astype(float)
    adjacency = np.zeros((4, 4))
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1
    scale = np.diag(adjacency.sum(axis=1) ** -0.5)
    laplacian = np.eye(4) - scale @ adjacency @ scale
    values = (ids * (laplacian @ ids)).sum(axis=0)
    assert np.allclose(laplacian @ ids, ids * values, atol=1e-5)
    assert (np.diff(values) > -1e-6).all()
    assert values[0] == pytest.approx(0.0, abs=1e-6)


def test_identifiers_do_not_depend_on_the_basis_of_a_repeated_eigenvalue(monkeypatch):
    ring = np.array([[i, (i + 1) % 6] for i in range(6)], dtype=np.int32)
    expected = laplacian_ids(6, ring, 16)
    real = np.linalg.eigh

    def turned(matrix):
        values, vectors = real(matrix)
        rng = np.random.default_rng(0)
        vectors = vectors * rng.choice([-1, 1], 6)
        angle = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
        for pair in (slice(1, 3), slice(3, 5)):  # a ring's middle eigenvalues are double
            vectors[:, pair] = vectors[:, pair] @ angle
        return values, vectors

    monkeypatch.setattr(np.linalg, "eigh", turned)
    assert np.allclose(laplacian_ids(6, ring, 16), expected, atol=1e-5)


def test_an_edge_list_of_atomic_numbers_is_the_molecule_itself(preprocess):
    ethanol = {"nodes": [6, 6, 8], "edges": [[0, 1], [1, 2]]}
    assert same(preprocess.decode_json(ethanol), preprocess.decode_json("CCO"))
    ring = {
        "nodes": [6] * 6,
        "edges": [[i, (i + 1) % 6] for i in range(6)],
        "edge_features": [[3, 0, 1]] * 6,
    }
    benzene = preprocess.decode_json("c1ccccc1")
    assert np.array_equal(preprocess.decode_json(ring).nodes, benzene.nodes)


def test_an_edge_list_of_fields_is_taken_as_it_is_and_edges_once(preprocess):
    graph = preprocess.decode_json(
        {
            "nodes": [[5, 0, 4, 5, 3, 0, 2, 0, 0]] * 2,
            "edges": [[0, 1], [1, 0]],
            "edge_features": [[1, 0, 0], [1, 0, 0]],
        }
    )
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.edge_features.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    "value",
    [
        {}, {"nodes": [6]}, {"nodes": [], "edges": []}, {"nodes": [6], "edges": [], "x": 1},
        {"nodes": 6, "edges": []}, {"nodes": [0, "Cc"], "edges": []}, {"nodes": [119], "edges": []},
        {"nodes": [-1], "edges": []}, {"nodes": [6.5], "edges": []}, {"nodes": [True], "edges": []},
        {"nodes": [6, 6], "edges": [[0, 2]]}, {"nodes": [6, 6], "edges": [[0, 0]]},
        {"nodes": [6, 6], "edges": [[0]]}, {"nodes": [6, 6], "edges": [[-1, 0]]},
        {"nodes": [6, 6], "edges": [[0, 1]], "edge_features": []},
        {"nodes": [6, 6], "edges": [[0, 1]], "edge_features": [[4, 0, 0]]},
        {"nodes": [6, 6], "edges": [[0, 1]], "edge_features": [[0, 6, 0]]},
        {"nodes": [6, 6], "edges": [[0, 1], [1, 0]], "edge_features": [[0, 0, 0], [1, 0, 0]]},
        {"nodes": [9] * 3, "edges": [[0, 1], [1, 2]]},
        {"nodes": [[5] * 8], "edges": []}, {"nodes": [[5, 5, 0, 0, 0, 0, 0, 0, 0]], "edges": []},
        {"nodes": [6, 6], "edges": [[0, 1]], "edge_features": [[3, 0, 0]]},
        {"nodes": [10**30], "edges": []}, 3, None, True, [], "", "  ", "C\nC", ".",
    ],
)  # fmt: skip
def test_json_that_is_no_graph_is_refused(preprocess, value):
    with pytest.raises(InputError):
        preprocess.decode_json(value)


@pytest.mark.parametrize(
    "text",
    [
        "C1CC",
        "not a molecule",
        "C(C",
        "[Xx]",
        "ÄÖ",
        "C\0C",
        "Qq",
        "[13CH484]",
    ],
)
def test_an_unparsable_smiles_string_is_named(preprocess, text):
    with pytest.raises(UndecodableError) as caught:
        preprocess.decode_json(text)
    assert repr(text.split()[0]) in str(caught.value)


def test_a_long_unparsable_smiles_string_is_shortened_in_the_message(preprocess):
    with pytest.raises(UndecodableError) as caught:
        preprocess.decode_json("C(" * 500)
    assert len(str(caught.value)) < 120


def test_an_impossible_valence_is_explained(preprocess):
    with pytest.raises(UndecodableError, match="valence"):
        preprocess.decode_json("C(C)(C)(C)(C)C")


def test_rdkit_writes_nothing_to_standard_error(preprocess, capfd):
    with pytest.raises(UndecodableError):
        preprocess.decode_json("C1CC")
    assert capfd.readouterr().err == ""


def test_the_molecule_of_no_atoms_is_refused(preprocess):
    empty = "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"
    with pytest.raises(InvalidInputError, match="at least 1"):
        preprocess.decode(empty.encode(), "chemical/x-mdl-molfile")


def test_sizes_over_the_limits_are_refused_before_rdkit_is_called(preprocess, monkeypatch):
    monkeypatch.setattr("omnivec2.preprocess.formats.science.molecules.rdkit_chem", None)
    mol = (DATA / "caffeine.mol").read_text().splitlines()
    mol[3] = "999999" + mol[3][6:]
    small = GraphPreprocessor(GraphParameters(), Limits(nodes=200, edges=200, characters=100))
    for value in (
        "C" * 101,
        "\n".join(mol),
        {"nodes": [6] * 201, "edges": []},
        {"nodes": [6, 6], "edges": [[0, 1]] * 500},
    ):
        with pytest.raises(TooLargeError):
            small.decode_json(value)


def test_atoms_over_the_limit_are_refused(preprocess):
    with pytest.raises(TooLargeError, match="513 nodes"):
        preprocess.decode_json("C" * 513)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\x89PNG\r\n", b"{", b"M  END", b"\nM  END\n"])
def test_bytes_that_are_no_graph_are_refused(preprocess, data):
    with pytest.raises(InputError):
        preprocess.decode(data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_damage_of_any_kind_is_an_input_error_or_a_graph(preprocess, path):
    rng = random.Random(path.name)
    data, media_type = path.read_bytes(), preprocess.sniff(path.read_bytes())
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 8))):
            damaged[rng.randrange(len(data))] = rng.choice(b"0123456789 CN()[]=#-+.\n")
        try:
            preprocess.prepare(preprocess.decode(bytes(damaged), media_type))
        except InputError:
            continue


def test_a_text_beyond_the_limit_on_bytes_is_refused(preprocess):
    small = GraphPreprocessor(GraphParameters(), Limits(bytes=10))
    with pytest.raises(TooLargeError, match="longer than 10 characters"):
        small.decode_json("C" * 11)


def test_identifiers_may_have_fewer_values_than_the_graph_has_eigenvectors():
    path = np.array([[0, 1], [1, 2], [2, 3]], np.int32)
    few, all_of_them = laplacian_ids(4, path, 2), laplacian_ids(4, path, 8)
    assert few.shape == (4, 2)
    np.testing.assert_array_equal(few, all_of_them[:, :2])
    assert not all_of_them[:, 4:].any()
