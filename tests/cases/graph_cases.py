"""Molecules as chemists, databases and drawing programs write them."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from tests.cases.case import Case, Count, Factory, OtherThan, Refused, SameAs, Sent, inputs

ROUTE = "graph?tasks=solubility,embedding"
EXACT = 0.001

MOLECULES = {
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "menthol": "CC(C)[C@@H]1CC[C@@H](C)C[C@H]1O",
    "geraniol": "CC(C)=CCC/C(C)=C/CO",
    "cysteine": "N[C@@H](CS)C(=O)O",
    "quinoline": "c1ccc2ncccc2c1",
    "naproxen": "C[C@H](C(=O)O)c1ccc2cc(OC)ccc2c1",
    "urea": "NC(N)=O",
}


def shuffled(smiles: str, seed: int) -> Chem.Mol:
    molecule = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
    return Chem.RenumberAtoms(molecule, order)


def written_otherwise(smiles: str) -> Factory:
    return inputs(Chem.MolToSmiles(shuffled(smiles, 5), canonical=False))


def kekulized(smiles: str) -> Factory:
    molecule = shuffled(smiles, 6)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    return inputs(Chem.MolToSmiles(molecule, kekuleSmiles=True))


def mol(smiles: str, *, is_v3000: bool = False) -> str:
    return Chem.MolToMolBlock(shuffled(smiles, 7), forceV3000=is_v3000)


def sdf() -> bytes:
    records = [f"{mol(smiles)}> <name>\n{name}\n\n$$$$\n" for name, smiles in MOLECULES.items()]
    return "".join(records).encode()


def same(name: str, made: Factory, wanted: str | list[str]) -> Case:
    return Case(f"graph: {name}", ROUTE, made, SameAs(inputs(wanted), EXACT))


_ALL = list(MOLECULES.values())
_QUINOLINE, _CYSTEINE = MOLECULES["quinoline"], MOLECULES["cysteine"]

CASES = [
    *(
        same(f"{name} with its atoms in another order", written_otherwise(smiles), smiles)
        for name, smiles in MOLECULES.items()
    ),
    same("rings of single and double bonds", kekulized(_QUINOLINE), _QUINOLINE),
    same(
        "a MOL file from Windows",
        lambda: mol(_QUINOLINE).replace("\n", "\r\n").encode(),
        _QUINOLINE,
    ),
    same(
        "a MOL file of version 3000 in JSON",
        inputs(mol(_CYSTEINE, is_v3000=True)),
        _CYSTEINE,
    ),
    same(
        "InChI of a database",
        lambda: Sent(Chem.MolToInchi(Chem.MolFromSmiles(_CYSTEINE)).encode(), "text/plain"),
        _CYSTEINE,
    ),
    same("a library of molecules", sdf, _ALL),
    same("lines of molecules", inputs("\n".join(_ALL[:3])), _ALL[:3]),
    same(
        "molecules with their names",
        lambda: "".join(f"{smiles}\t{name}\n" for name, smiles in MOLECULES.items()).encode(),
        _ALL,
    ),
    Case("graph: a library gets an answer for each", "graph/solubility", sdf, Count(len(_ALL))),
    Case(
        "graph: the name of a molecule",
        ROUTE,
        inputs("paracetamol"),
        Refused("SMILES|name"),
    ),
    Case(
        "graph: a mirrored molecule is another",
        ROUTE,
        inputs(_CYSTEINE.replace("@@", "@")),
        OtherThan(inputs(_CYSTEINE), 1e-6),
    ),
]
