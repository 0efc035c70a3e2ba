"""Molecules -> OGB's atom and bond ids, with RDKit."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.graph_fields import BOND_FIELD_SIZES, Graph, check_size
from omnivec2.spec import Limits

# Ids by RDKit's names, in OGB's order; names not here get the field's last id.
_CHIRALITY = {
    name: index
    for index, name in enumerate(
        ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER")
    )
}
_HYBRIDIZATION = {name: index for index, name in enumerate(("SP", "SP2", "SP3", "SP3D", "SP3D2"))}
_BOND_TYPE = {name: index for index, name in enumerate(("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"))}
_BOND_STEREO = {
    name: index
    for index, name in enumerate(
        ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")
    )
}
_SHOWN_CHARACTERS = 60


@lru_cache(maxsize=1)
def chem() -> ModuleType:
    """RDKit's Chem module, its log to standard error turned off."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    module: ModuleType = Chem
    return module


def read_smiles(text: str, limits: Limits) -> Graph:
    """The molecule of a SMILES string (one line; its first word counts).

    Raises:
        UndecodableError: not SMILES, or against the rules of valence.
        TooLargeError: longer than ``limits.characters``.
        InvalidInputError: empty, or more than one line.
    """
    text = text.strip()
    if not text:
        raise InvalidInputError("expected a SMILES string, got empty text", field="inputs")
    word = text.split(maxsplit=1)[0]
    if limits.characters is not None and len(word) > limits.characters:
        raise TooLargeError(
            f"the SMILES string has {len(word):,} characters, the limit is {limits.characters:,}",
            field="inputs",
        )
    if "\n" in text:
        raise InvalidInputError(
            "expected one SMILES string, got several lines; send a JSON list for several molecules",
            field="inputs",
        )
    shown = word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"
    if not word.isascii() or not word.isprintable():
        raise UndecodableError(f"not a SMILES string: {shown!r}", field="inputs")
    molecule = chem().MolFromSmiles(word)
    if molecule is None:
        raise UndecodableError(f"not a SMILES string: {shown!r}{_problem(word)}", field="inputs")
    return graph_of(molecule)


def _problem(smiles: str) -> str:
    """Why RDKit refused a string whose syntax is right, e.g. a valence, or nothing."""
    molecule = chem().MolFromSmiles(smiles, sanitize=False)
    problems = [] if molecule is None else chem().DetectChemistryProblems(molecule)
    return f" ({problems[0].Message()})" if problems else ""


def read_block(text: str, limits: Limits) -> Graph:
    """The first molecule of a MOL (V2000, V3000) or SDF file.

    Raises:
        UndecodableError: not such a file, or against the rules of valence.
        TooLargeError: the counts line declares more than the limits.
    """
    block = text.replace("\r\n", "\n").split("\n$$$$", 1)[0]
    lines = block.split("\n")
    if len(lines) < 4 or "M  END" not in block:
        raise UndecodableError("expected a MOL or SDF file with a line 'M  END'", field="inputs")
    counts = lines[3]
    if "V3000" in counts:
        counts = next((line[14:] for line in lines if line.startswith("M  V30 COUNTS ")), "")
        numbers = counts.split()[:2]
    else:
        numbers = [counts[:3].strip(), counts[3:6].strip()]
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        raise UndecodableError("the MOL file has no readable counts line", field="inputs")
    # Explicit hydrogens are dropped on reading; they must not count against the limits,
    # but no molecule has more than a few per heavy atom.
    nodes, edges = (int(number[:9]) for number in numbers)
    check_size(nodes // 4, edges // 4, limits)
    molecule = chem().MolFromMolBlock(block)
    if molecule is None:
        raise UndecodableError("the MOL file is damaged, or its valences are impossible")
    return graph_of(molecule)


def from_atoms(numbers: list[int], edges: list[tuple[int, int]], types: list[int]) -> Graph:
    """The molecule of atomic numbers and bonds; RDKit works out hydrogens and all else.

    Args:
        numbers: atomic number per atom.
        edges: two ends per bond.
        types: OGB's bond type id per bond, below 4.

    Raises:
        InvalidInputError: the valences are impossible.
    """
    kinds = chem().rdchem.BondType
    by_id = (kinds.SINGLE, kinds.DOUBLE, kinds.TRIPLE, kinds.AROMATIC)
    molecule = chem().RWMol()
    for number in numbers:
        molecule.AddAtom(chem().Atom(number))
    for (first, second), kind in zip(edges, types, strict=True):
        molecule.AddBond(first, second, by_id[kind])
        if by_id[kind] == kinds.AROMATIC:
            for end in (first, second):
                molecule.GetAtomWithIdx(end).SetIsAromatic(True)
    problems = chem().DetectChemistryProblems(molecule)
    if problems:
        raise InvalidInputError(f"not a molecule: {problems[0].Message()}", field="inputs.edges")
    chem().SanitizeMol(molecule)
    return graph_of(molecule)


def graph_of(molecule: Any) -> Graph:
    """OGB's ids of an RDKit molecule."""
    nodes = [_atom_ids(atom) for atom in molecule.GetAtoms()]
    bonds = list(molecule.GetBonds())
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    return Graph(
        np.array(nodes, dtype=np.int32).reshape(-1, 9),
        np.array(ends, dtype=np.int32).reshape(-1, 2),
        np.array([_bond_ids(bond) for bond in bonds], dtype=np.int32).reshape(-1, 3),
    )


def _atom_ids(atom: Any) -> tuple[int, ...]:
    number, charge = atom.GetAtomicNum(), atom.GetFormalCharge()
    return (
        number - 1 if 1 <= number <= 118 else 118,
        _CHIRALITY.get(atom.GetChiralTag().name, 4),
        min(atom.GetTotalDegree(), 11),
        charge + 5 if -5 <= charge <= 5 else 11,
        min(atom.GetTotalNumHs(), 9),
        min(atom.GetNumRadicalElectrons(), 5),
        _HYBRIDIZATION.get(atom.GetHybridization().name, 5),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    )


def _bond_ids(bond: Any) -> tuple[int, int, int]:
    return (
        _BOND_TYPE.get(bond.GetBondType().name, BOND_FIELD_SIZES[0] - 1),
        _BOND_STEREO.get(bond.GetStereo().name, BOND_FIELD_SIZES[1] - 1),
        int(bond.GetIsConjugated()),
    )
