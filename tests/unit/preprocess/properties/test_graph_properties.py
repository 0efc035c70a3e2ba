"""A molecule has the same arrays however it is written; another molecule has others."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.graph import GraphParameters, GraphPreprocessor
from omnivec2.preprocess.notes import collect_notes

Chem = pytest.importorskip("rdkit.Chem")

MOLECULES = (
    "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O", "CN1CCC[C@H]1c1cccnc1", "C[C@H](N)C(=O)O",
    "CCN(CC)CC(=O)Nc1c(C)cccc1C", "COc1cc(C=O)ccc1O", "OC(=O)CC(O)(CC(=O)O)C(=O)O",
    "NCCc1ccc(O)c(O)c1", "C/C=C/C(=O)O", "F/C(Cl)=C(\\C)Br", "C1CCC2CCCCC2C1", "c1ccc2ccccc2c1",
    "C[N+](C)(C)CC(=O)[O-]", "[Na+].CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "C#CC#N", "CS(=O)C",
    "C1CC1C2CC2", "OC(C(F)(F)F)C(F)(F)F", "c1cc[nH]c1", "CC1=CC(=O)C=CC1=O", "C1COCCN1",
    "ClC(Cl)(Cl)C=O", "C[C@@H]1CC[C@@H](C)CC1", "NC(Cc1c[nH]c2ccccc12)C(=O)O", "CP(=O)(O)O",
    "CCCCCCCCCCCC", "C12C3C4C1C5C4C3C25", "B(O)(O)c1ccccc1", "O=C1NC(=O)c2ccccc21",
)  # fmt: skip
SEEDS = range(len(MOLECULES))


@pytest.fixture(scope="module")
def preprocess() -> GraphPreprocessor:
    return GraphPreprocessor(GraphParameters())


def arrays(preprocess, value):
    native = preprocess.decode(value) if isinstance(value, bytes) else preprocess.decode_json(value)
    return preprocess.prepare(native).samples[0]


def same(first, second) -> bool:
    return all(
        first[name].shape == second[name].shape
        and np.allclose(first[name], second[name], atol=1e-5)
        for name in first
    )


def shuffled(molecule, seed):
    order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
    return Chem.RenumberAtoms(molecule, order)


def text_of(molecule, **options) -> str:
    return Chem.MolToSmiles(molecule, canonical=False, **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_atoms_does_not_matter(preprocess, seed):
    expected = arrays(preprocess, MOLECULES[seed])
    for turn in range(3):
        molecule = shuffled(Chem.MolFromSmiles(MOLECULES[seed]), 100 * seed + turn)
        assert same(arrays(preprocess, text_of(molecule)), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_canonical_text_keeps_its_own_order(preprocess, seed):
    canonical = Chem.CanonSmiles(MOLECULES[seed])
    numbers = [atom.GetAtomicNum() for atom in Chem.MolFromSmiles(canonical).GetAtoms()]
    assert (arrays(preprocess, MOLECULES[seed])["nodes"][:, 0] + 1).tolist() == numbers


@pytest.mark.parametrize("seed", SEEDS)
def test_the_form_in_which_a_molecule_is_written_does_not_matter(preprocess, seed):
    molecule = shuffled(Chem.MolFromSmiles(MOLECULES[seed]), seed)
    kekulized = Chem.Mol(molecule)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    numbered = Chem.Mol(molecule)
    for atom in numbered.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    forms = (
        text_of(Chem.AddHs(molecule)),
        text_of(molecule, allHsExplicit=True),
        text_of(molecule, allBondsExplicit=True),
        text_of(kekulized, kekuleSmiles=True),
        Chem.MolToSmiles(numbered),
        text_of(molecule).replace("-]", "\u2212]") + "  a name",
        Chem.MolToMolBlock(molecule),
        Chem.MolToMolBlock(molecule).encode().replace(b"\n", b"\r\n"),
        Chem.MolToMolBlock(Chem.AddHs(molecule)),
        Chem.MolToV3KMolBlock(molecule),
        (Chem.MolToMolBlock(molecule) + "> <name>\nfirst\n\n$$$$\n").encode(),
    )
    expected = arrays(preprocess, MOLECULES[seed])
    for form in forms:
        assert same(arrays(preprocess, form), expected), form


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_an_inchi_is_the_molecule_that_it_names(preprocess, seed):
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(MOLECULES[seed]))
    expected = arrays(preprocess, Chem.MolToSmiles(Chem.MolFromInchi(inchi)))
    assert same(arrays(preprocess, f"{inchi}\n".encode()), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_an_edge_list_does_not_matter(preprocess, seed):
    graph = preprocess.decode_json(MOLECULES[seed])
    expected = preprocess.prepare(graph).samples[0]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(graph.nodes))
    edges = np.argsort(order)[graph.edges]
    both_ways = np.concatenate([edges, edges[:, ::-1]])
    rows = rng.permutation(len(both_ways))
    value = {
        "x": graph.nodes[order].tolist(),
        "edge_index": both_ways[rows].T.reshape(2, -1).tolist(),
        "edge_attr": np.tile(graph.edge_features, (2, 1))[rows].tolist(),
    }
    found = arrays(preprocess, value)
    again = {
        "nodes": graph.nodes.tolist(),
        "edges": graph.edges.tolist(),
        "edge_features": graph.edge_features.tolist(),
    }
    assert same(found, arrays(preprocess, again))
    assert sorted(found["nodes"].tolist()) == sorted(expected["nodes"].tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_another_molecule_has_other_arrays(preprocess, seed):
    molecule = Chem.RWMol(Chem.MolFromSmiles(MOLECULES[seed]))
    rng = np.random.default_rng(seed)
    free = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetTotalNumHs()]
    grown = molecule.AddAtom(Chem.Atom(9))
    end = molecule.GetAtomWithIdx(int(rng.choice(free)))
    end.SetNumExplicitHs(max(0, end.GetNumExplicitHs() - 1))
    molecule.AddBond(end.GetIdx(), grown, Chem.BondType.SINGLE)
    expected = arrays(preprocess, MOLECULES[seed])
    assert not same(arrays(preprocess, text_of(molecule)), expected)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),
        ("C/C=C/C(=O)O", "C/C=C\\C(=O)O"),
        ("C[C@@H]1CC[C@@H](C)CC1", "C[C@@H]1CC[C@H](C)CC1"),
        ("CC(=O)O", "CC(=O)[O-]"),
    ],
)
def test_stereo_isomers_and_ions_have_other_arrays(preprocess, first, second):
    assert not same(arrays(preprocess, first), arrays(preprocess, second))


@pytest.mark.parametrize(
    ("text", "word"),
    [("[13CH4]", "isotopes"), ("[2H]OC", "isotopes"), ("*CC", "element"), ("CCO |^1:0|", "bars")],
)
def test_what_is_not_told_apart_is_noted(preprocess, text, word):
    with collect_notes() as notes:
        preprocess.decode_json(text)
    assert any(word in note.text for note in notes)
