from __future__ import annotations

import pytest

from omnivec2.errors import InputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.molecule_texts import split_molecules
from omnivec2.preprocess.graph import GraphParameters, GraphPreprocessor
from omnivec2.preprocess.notes import NoteCode, collect_notes

METHANE = "\n  program\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n" + (
    "    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0\nM  END\n"
)


@pytest.fixture
def preprocess() -> GraphPreprocessor:
    return GraphPreprocessor(GraphParameters())


@pytest.mark.parametrize(
    ("text", "molecules"),
    [
        ("CCO", ["CCO"]),
        ("CCO\n\n# comment\r\nCCC propane\n", ["CCO", "CCC propane"]),
        ("SMILES Name\nCCO ethanol\nC methane", ["CCO", "C"]),
        ("id,Canonical_SMILES,logS\n1,CCO,0.5\n2,CCC,1\n", ["CCO", "CCC"]),
        ('id;"smiles"\n1;"CCO"\n', ["CCO"]),
        ("InChI=1S/CH4/h1H4\nAuxInfo=1/0/N:1/rA:1nC/rB:/rC:;\n", ["InChI=1S/CH4/h1H4"]),
        ("InChI\nInChI=1S/CH4/h1H4\n", ["InChI=1S/CH4/h1H4"]),
    ],
)
def test_lines_and_columns_are_molecules(text, molecules):
    assert split_molecules(text) == molecules


def test_an_sdf_file_is_split_at_its_marks_whatever_the_line_ends(preprocess):
    text = f"{METHANE}> <name>\nfirst\n\n$$$$\n{METHANE}$$$$\n"
    for ending in ("\n", "\r\n", "\r"):
        data = text.replace("\n", ending).encode()
        assert len(preprocess.split_file(data) or []) == 2
        assert len(preprocess.split(data.decode()) or []) == 2
    assert preprocess.split_file(f"{METHANE}$$$$\n".encode()) is None
    assert preprocess.split_file(METHANE.encode()) is None


def test_lists_json_files_and_single_texts_are_split_as_before(preprocess):
    assert preprocess.split(["C", "CC"]) == ["C", "CC"]
    assert preprocess.split("C") is None
    assert preprocess.split_file(b'{"nodes": [6], "edges": []}') is None
    assert preprocess.split_file(b"\x89PNG") is None


def test_more_molecules_than_inputs_are_refused(preprocess):
    many = "\n".join(["C"] * (preprocess.limits.inputs + 1))
    with pytest.raises(TooLargeError, match="molecules in one request"):
        preprocess.split_file(many.encode())


def test_the_first_of_several_molecules_is_read_with_a_note(preprocess):
    with collect_notes() as notes:
        preprocess.decode(f"{METHANE}$$$$\n{METHANE}$$$$\n".encode())
    assert [(note.code, note.count) for note in notes] == [(NoteCode.IGNORED, 1)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("@<TRIPOS>MOLECULE\nmethane\n", "Mol2"),
        ("HEADER    LIGAND\nHETATM    1  C1  LIG\n", "PDB"),
        ("data_urea\n_cell_length_a 5.6\n", "CIF"),
        ("3\nwater\nO 0.0 0.0 0.1\nH 0.7 0.0 0.1\n", "XYZ"),
        ("$RXN\n\n\n", "reaction"),
        ("CCO>>CC=O", "reaction"),
        ('<?xml version="1.0"?><molecule/>', "XML"),
        (">sequence\nMKTAYIAK\n", "FASTA"),
        ("LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "InChIKey"),
        ("InChIKey=LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "InChIKey"),
        ("[C][C][O]", "SELFIES"),
        ("[C][C][=Branch1][C][=O][O]", "SELFIES"),
        ("64-17-5", "CAS"),
        ("CC%28%3DO%29O", "URL"),
        ("[#6]~[#7]", "SMARTS"),
        ("C1CC", "ring 1 is not closed"),
        ("C6H12O6", "formula"),
        ("H2O", "formula"),
        ("aspirin", "name"),
        ("acetylsalicylic acid", "name"),
        ("2-methylpropan-1-ol", "name"),
        ("InChI=1S/nothing", "InChI"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(preprocess, text, name):
    with pytest.raises(UndecodableError, match=name):
        preprocess.decode(text.encode())
    with pytest.raises(UndecodableError, match=name) as caught:
        preprocess.decode_json(text)
    assert "M  END" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\0", b"PK\x03\x04", b"VjCD0100\4\3\2\1"])
def test_packed_and_binary_files_are_refused_by_their_names(preprocess, data):
    with pytest.raises(UndecodableError, match="unsupported"):
        preprocess.decode(data, "chemical/x-mdl-sdfile")


@pytest.mark.parametrize("text", ['"CCO"', "\u201cCCO\u201d", "\ufeffCCO", " CCO\u200b ", "'CCO'"])
def test_marks_around_a_text_are_no_part_of_it(preprocess, text):
    assert (
        preprocess.decode_json(text).nodes.tolist() == preprocess.decode_json("CCO").nodes.tolist()
    )


def test_typographic_minus_signs_are_read_and_noted(preprocess):
    with collect_notes() as notes:
        found = preprocess.decode_json("CC(=O)[O\u2212]")
    assert found.nodes.tolist() == preprocess.decode_json("CC(=O)[O-]").nodes.tolist()
    assert [note.code for note in notes] == [NoteCode.REPAIRED]


def test_a_mol_file_that_lost_its_first_line_is_read_with_a_note(preprocess):
    with collect_notes() as notes:
        assert len(preprocess.decode_json(METHANE.strip("\n")).nodes) == 1
    assert [note.code for note in notes] == [NoteCode.REPAIRED]


def test_a_mol_file_with_a_name_in_latin_1_or_utf_16_is_read(preprocess):
    text = "\u00e9thane" + METHANE
    for charset in ("latin-1", "utf-8", "utf-16"):
        assert len(preprocess.decode(text.encode(charset), "chemical/x-mdl-molfile").nodes) == 1


def test_several_lines_within_a_list_are_refused(preprocess):
    with pytest.raises(InputError, match="several lines"):
        preprocess.decode_json("CCO\nCCC")


def test_a_mol_file_without_an_end_is_truncated(preprocess):
    with pytest.raises(UndecodableError, match="truncated"):
        preprocess.decode_json(METHANE.replace("M  END\n", ""))


def test_elements_may_be_written_as_symbols_and_hydrogen_is_implicit(preprocess):
    expected = preprocess.decode_json("CCO")
    heavy = {"nodes": ["C", "O", "C"], "edges": [[1, 0], [0, 2]]}
    methanol = {"nodes": [8, 6, 1, 1, 1, 1], "edges": [[0, 1], [1, 2], [1, 3], [1, 4], [0, 5]]}
    assert preprocess.decode_json(heavy).nodes.tolist() == expected.nodes.tolist()
    found, expected = preprocess.decode_json(methanol), preprocess.decode_json("CO")
    assert found.nodes.tolist() == expected.nodes.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "InChI=1S/CH4/h1H4/i1D393",  # takes all memory
        "InChI=1S/2CH9999O2.Fe/c2*2-1-3;/h1000*1H,(H,2,3);/q;;+2/p-7",  # corrupts memory
        "InChI=1S/\u00e4",
    ],
)
def test_an_inchi_that_breaks_its_reader_costs_its_own_request_only(preprocess, text):
    with pytest.raises(UndecodableError, match="InChI"):
        preprocess.decode_json(text)
