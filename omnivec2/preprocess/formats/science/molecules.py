"""Molecules -> OGB's atom and bond ids, with RDKit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.graph_fields import BOND_FIELD_SIZES, Graph, check_size
from omnivec2.preprocess.formats.science.molecule_texts import (
    TextKind,
    clean_line,
    explain,
    kind_of,
    split_molecules,
)
from omnivec2.preprocess.formats.science.rdkit_module import rdkit_chem
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

# Ids by RDKit's names, in OGB's order; other names get the field's last id.
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
_INCHI = re.compile(r"[Ii]n[Cc][Hh][Ii]=1S?/[A-Za-z0-9.,;:()/*+?-]+", re.ASCII)
_INCHI_TIMEOUT_S = 20


def read_molecule(text: str, limits: Limits) -> Graph:
    """Read one molecule: a SMILES string, an InChI, or the first record of a MOL or SDF file.

    Raises:
        UndecodableError: the text is none of these, or its valences are impossible.
        TooLargeError: it is longer or declares more than the limits.
        InvalidInputError: it is empty, or has several lines that are molecules.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InvalidInputError("expected a SMILES string, got empty text", field="inputs")
    kind = kind_of(text)
    molecules = split_molecules(text)
    if kind is TextKind.BLOCK:
        if len(molecules) > 1:
            note(
                NoteCode.IGNORED,
                "the file has several molecules, and only the first one is read here; "
                "send it by itself, or a JSON list",
                count=len(molecules) - 1,
            )
        return _read_block((molecules or [text])[0], limits)
    if len(molecules) != 1:
        raise InvalidInputError(
            "expected one molecule, got several lines; send a JSON list for several molecules",
            field="inputs",
        )
    line = clean_line(molecules[0])
    word, *rest = line.split(maxsplit=1) or [""]
    if limits.characters is not None and len(word) > limits.characters:
        raise TooLargeError(
            f"the {kind.name} has {len(word):,} characters, the limit is {limits.characters:,}",
            field="inputs",
        )
    if rest and rest[0].startswith("|"):
        note(NoteCode.IGNORED, "the extension of the SMILES string, between bars, is not used")
    return _read_inchi(word) if kind is TextKind.INCHI else _read_smiles(word)


def _read_smiles(word: str) -> Graph:
    shown = _shorten(word)
    if not word.isascii() or not word.isprintable():
        raise UndecodableError(f"not a SMILES string: {shown!r}{explain(word)}", field="inputs")
    molecule = rdkit_chem().MolFromSmiles(word)
    if molecule is None:
        problem = _chemistry_problem(word) or explain(word)
        raise UndecodableError(f"not a SMILES string: {shown!r}{problem}", field="inputs")
    return graph_from_molecule(molecule)


def _read_inchi(word: str) -> Graph:
    """Convert to SMILES in a separate process, for the reasons given in ``inchi_worker``."""
    failed = UndecodableError(f"not an InChI that can be read: {_shorten(word)!r}", field="inputs")
    if not _INCHI.fullmatch(word):
        raise failed
    command = [sys.executable, "-I", str(Path(__file__).with_name("inchi_worker.py"))]
    text = "InChI=" + word[6:]
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_INCHI_TIMEOUT_S,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.SubprocessError as error:
        raise failed from error
    smiles = done.stdout.decode("ascii", errors="replace").strip()
    molecule = rdkit_chem().MolFromSmiles(smiles) if smiles else None
    if molecule is None:
        raise failed
    # An InChI numbers its atoms in its own way.
    return replace(graph_from_molecule(molecule), order=None)


def _shorten(word: str) -> str:
    return word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"


def _chemistry_problem(smiles: str) -> str:
    """Explain why RDKit refused a string with correct syntax, e.g. a valence; "" if unknown."""
    molecule = rdkit_chem().MolFromSmiles(smiles, sanitize=False)
    try:
        problems = [] if molecule is None else rdkit_chem().DetectChemistryProblems(molecule)
    except RuntimeError:  # a failed check within RDKit, as of [CH300]
        problems = []
    return f" ({problems[0].Message()})" if problems else ""


def _read_block(block: str, limits: Limits) -> Graph:
    """Read a MOL file (V2000, V3000); lines of a record behind it are not looked at.

    Raises:
        UndecodableError: the text is not such a file, or its valences are impossible.
        TooLargeError: the counts line declares more than the limits.
    """
    lines = block.split("\n")
    versions = (index for index, line in enumerate(lines[:4]) if line.endswith(("V2000", "V3000")))
    if (missing := 3 - next(versions, 3)) > 0:
        # Three lines of names come first; copying by hand loses them where they are empty.
        note(NoteCode.REPAIRED, "the MOL file lacks lines before its counts line")
        lines = [""] * missing + lines
    if len(lines) < 4 or "M  END" not in block:
        raise UndecodableError(
            "the MOL or SDF file is truncated: expected a line 'M  END'", field="inputs"
        )
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
    molecule = rdkit_chem().MolFromMolBlock("\n".join(lines))
    if molecule is None:
        raise UndecodableError("the MOL file is damaged, or its valences are impossible")
    return graph_from_molecule(molecule)


def graph_from_atoms(numbers: list[int], edges: list[tuple[int, int]], types: list[int]) -> Graph:
    """Build a molecule from atomic numbers and bonds; RDKit derives hydrogens and all else.

    Args:
        numbers: The atomic number of each atom.
        edges: The two ends of each bond.
        types: The bond type of each bond, OGB's ids below 4.

    Raises:
        InvalidInputError: the valences are impossible.
    """
    kinds = rdkit_chem().rdchem.BondType
    by_id = (kinds.SINGLE, kinds.DOUBLE, kinds.TRIPLE, kinds.AROMATIC)
    molecule = rdkit_chem().RWMol()
    for number in numbers:
        molecule.AddAtom(rdkit_chem().Atom(number))
    for (first, second), kind in zip(edges, types, strict=True):
        molecule.AddBond(first, second, by_id[kind])
        if by_id[kind] == kinds.AROMATIC:
            for end in (first, second):
                molecule.GetAtomWithIdx(end).SetIsAromatic(True)
    problems = rdkit_chem().DetectChemistryProblems(molecule)
    if problems:
        raise InvalidInputError(f"not a molecule: {problems[0].Message()}", field="inputs.edges")
    rdkit_chem().SanitizeMol(molecule)
    rdkit_chem().AssignStereochemistry(molecule)
    return graph_from_molecule(molecule)


def graph_from_molecule(molecule: Any) -> Graph:
    """Convert an RDKit molecule to OGB's ids, whatever the order its atoms were written in.

    Atoms and bonds are those of the canonical SMILES string, in its order. Chirality, too, is
    as written there: a tag is relative to the order of an atom's neighbours, so that the tags
    of the text as sent would differ from one way of writing a molecule to the next.
    """
    try:
        molecule, order = _canonical(molecule)
    except (RuntimeError, ValueError) as error:  # a failed check within RDKit
        raise UndecodableError("RDKit finds no consistent molecule", field="inputs") from error
    nodes = [_atom_ids(atom) for atom in molecule.GetAtoms()]
    bonds = list(molecule.GetBonds())
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    return Graph(
        np.array(nodes, dtype=np.int32).reshape(-1, 9),
        np.array(ends, dtype=np.int32).reshape(-1, 2),
        np.array([_bond_ids(bond) for bond in bonds], dtype=np.int32).reshape(-1, 3),
        np.array(order, dtype=np.int32),
    )


def _canonical(molecule: Any) -> tuple[Any, list[int]]:
    """Return a molecule as its canonical SMILES string describes it, and its atoms' indices before.

    Hydrogens that became implicit have no index.

    What the ids do not tell apart takes no part in the order: numbers that the writer gave to
    atoms, and isotopes, of which those of hydrogen become implicit like all hydrogen.
    """
    chem = rdkit_chem()
    labelled = [a for a in molecule.GetAtoms() if a.GetAtomMapNum() or a.GetIsotope()]
    isotopes = sum(atom.GetIsotope() > 0 for atom in labelled)
    for atom in labelled:
        atom.SetAtomMapNum(0)
        atom.SetIsotope(0)
    if isotopes:
        note(NoteCode.IGNORED, "isotopes are not told apart", count=isotopes)
    if labelled:
        chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
    if any(atom.GetAtomicNum() == 1 for atom in molecule.GetAtoms()):
        molecule = chem.RemoveHs(molecule)
    unknown = sum(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms())
    if unknown:
        note(NoteCode.UNUSUAL, "atoms of no known element (*, R, A)", count=unknown)
    canonical = chem.MolFromSmiles(chem.MolToSmiles(molecule))
    if canonical is None:  # RDKit writes a few structures of files that it does not read
        ranks = np.asarray(chem.CanonicalRankAtoms(molecule))
        order = np.argsort(ranks).tolist()
        return chem.RenumberAtoms(molecule, order), order
    if not molecule.GetNumAtoms():
        return canonical, []
    # The text of a list; older releases of RDKit write a comma at its end.
    written = molecule.GetProp("_smilesAtomOutputOrder").strip("[],")
    return canonical, [int(index) for index in written.split(",")]


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
