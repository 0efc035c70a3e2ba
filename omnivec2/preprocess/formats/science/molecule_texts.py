"""What a text about molecules is: SMILES, InChI, MOL or SDF, one or several; or what else.

Nothing is parsed here. Texts of kinds that are not read are refused by their names, so that
callers learn what to convert and do not look for a mistake in their SMILES.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.guards.json_text import decode_utf8
from omnivec2.preprocess.notes import NoteCode, note


class TextKind(Enum):
    """The kinds of molecule texts that are read."""

    SMILES = auto()
    INCHI = auto()
    BLOCK = auto()
    """A MOL file, or an SDF file of one molecule or several."""


_RECORD_END = re.compile(r"^\$\$\$\$[^\n]*\n?", re.MULTILINE)
_BLOCK_MARKS = ("M  END", "V2000", "V3000")

# Marks at the start of a line -> the kind, and what to convert it with.
_OBABEL = "convert it to an SDF file, e.g. with Open Babel: obabel in.{0} -O out.sdf"
_OTHER_KINDS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), name, how)
    for pattern, name, how in (
        (r"^@<TRIPOS>", "a Mol2 file", _OBABEL.format("mol2")),
        (
            r"\A(HEADER|TITLE|COMPND|REMARK|CRYST1|MODEL|AUTHOR|ATOM|HETATM)\b.*\n",
            "a PDB file (it has no bond orders)",
            _OBABEL.format("pdb"),
        ),
        (r"\A(#.*\n|\s)*data_\S*\s*\n", "a CIF file", _OBABEL.format("cif")),
        (
            r"\A\s*\d+\s*\n.*\n\s*[A-Z][a-z]?(\s+-?\d+\.\d+){3}",
            "an XYZ file (it has no bonds)",
            _OBABEL.format("xyz"),
        ),
        (r"\A\$(RXN|RDFILE)", "a reaction file (RXN, RDF)", "send its molecules one by one"),
        (r"\A<", "XML (CML, CDXML)", _OBABEL.format("cml")),
        (r"\A>", "FASTA", "send the molecule's SMILES"),
        (r"\A(PEPTIDE|RNA|DNA|CHEM|BLOB)\d+\{", "HELM", "send the molecule's SMILES"),
        (r"\AVjCD0100", "a ChemDraw file (CDX)", "save it as a MOL file"),
        (
            r"\A(InChIKey=)?[A-Z]{14}-[A-Z]{10}-[A-Z]\s*\Z",
            "an InChIKey (a hash, from which no molecule can be read)",
            "look it up and send the InChI or SMILES",
        ),
        (
            r"\A(?:\[[^\]\s]*\])*\[=?#?(Branch|Ring)\d\]|\A(\[[=#]?(C|N|O|S|P|F|Cl|Br|I)\]){2,}\s*\Z",
            "SELFIES",
            "convert it to SMILES: selfies.decoder(text)",
        ),
        (r"\A\S+>\S*>\S+", "a reaction SMILES", "send its molecules one by one"),
        (r"\A[^\s~]*~\S*\s*\Z", "a SMARTS pattern, which is no molecule", "send a SMILES"),
        (r"\A\d{2,7}-\d\d-\d\s*\Z", "a CAS number", "look it up and send the SMILES"),
        (r"\A\S*%(28|29|3D|5B|5D|2F|5C|23|40)", "URL-encoded text", "decode it first"),
    )
)

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), None)
_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")

_FORMULA = re.compile(r"([A-Z][a-z]?\d*|\((?:[A-Z][a-z]?\d*)+\)\d*)+[+-]?")
_NAME = re.compile(r"[\w,'()\[\]-]*[^\W\d_]{3}[\w,'()\[\]-]*")


def decode_molecules(data: bytes) -> str:
    """Decode the bytes of a file; names in MOL files may be in Latin-1.

    Raises:
        UndecodableError: the bytes are not text.
    """
    if data.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise UndecodableError("unsupported: a compressed file; decompress it", field="inputs")
    if data.startswith(b"VjCD0100"):
        refuse_other_kinds("VjCD0100")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", errors="replace").encode()
    elif any(mark.encode() in data for mark in _BLOCK_MARKS):
        try:
            data.decode()
        except UnicodeDecodeError:
            data = data.decode("latin-1").encode()
    return decode_utf8(data)


def looks_like_text(data: bytes) -> bool:
    """Whether a file of no declared type is worth reading as text about molecules."""
    if not data.strip():
        return False
    try:
        decode_utf8(data[:2048].rpartition(b"\n")[0] or data[:2048])
    except UndecodableError:
        return data.startswith(b"VjCD0100")
    return True


def kind_of(text: str) -> TextKind:
    """Return the kind of a text.

    Raises:
        UndecodableError: it is of a kind that is not read; it is named.
    """
    if any(mark in text for mark in _BLOCK_MARKS) and "\n" in text.strip():
        return TextKind.BLOCK
    start = text.lstrip()
    refuse_other_kinds(start)
    return TextKind.INCHI if start[:6].lower() == "inchi=" else TextKind.SMILES


def refuse_other_kinds(text: str) -> None:
    """Refuse a text of a kind that is not read, by its name.

    Raises:
        UndecodableError: it is one; the message says how to convert it.
    """
    start = text[:4096]
    for pattern, name, how in _OTHER_KINDS:
        if pattern.search(start):
            raise UndecodableError(f"unsupported: {name}; {how}", field="inputs")


def split_molecules(text: str) -> list[str]:
    """Split a text into those of its molecules: the records of an SDF file, or lines.

    Empty lines, comments (``#``) and a first line of column names are no molecules. A table
    is reduced to its column of SMILES.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(mark in text for mark in _BLOCK_MARKS):
        records = [record for record in _RECORD_END.split(text) if record.strip()]
        # What follows the last mark may be nothing but the last record's properties.
        return [record for record in records if any(mark in record for mark in _BLOCK_MARKS)]
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if len(lines) < 2 or any(pattern.search(text[:4096]) for pattern, _, _ in _OTHER_KINDS):
        return [text]
    if re.search(r"smiles|inchi", lines[0], re.IGNORECASE) and "=" not in lines[0]:
        return _column_of_molecules(lines)
    if lines[0][:6].lower() == "inchi=":
        lines = [line for line in lines if not line.startswith(("AuxInfo=", "InChIKey="))]
    return lines


def _column_of_molecules(lines: list[str]) -> list[str]:
    header = lines[0]
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in header), None)
    names = [name.strip(" \"'") for name in header.split(delimiter)]
    column = next(
        index for index, name in enumerate(names) if re.search("smiles|inchi", name, re.IGNORECASE)
    )
    rows = [line.split(delimiter) for line in lines[1:]]
    if any(len(row) <= column for row in rows):
        raise InvalidInputError(
            f"a line has no value in the column {names[column]!r}", field="inputs"
        )
    return [row[column].strip(" \"'") for row in rows]


def clean_line(text: str) -> str:
    """Remove what editors and spreadsheets put into and around a line: quotes, dashes, marks."""
    line = text.strip().translate(_INVISIBLE)
    for pair in _QUOTES:
        if len(line) > 1 and line[0] == pair[0] and line[-1] == pair[1]:
            line = line[1:-1].strip()
    word, *rest = line.split(maxsplit=1) or [""]
    plain = word.translate(_DASHES)
    if plain != word:
        note(NoteCode.REPAIRED, "typographic dashes or minus signs were read as '-'")
    return " ".join([plain, *rest])


def explain(word: str) -> str:
    """Return what a word that is no SMILES string may be, as the end of a sentence; or ""."""
    if any(char.isdigit() for char in word) and _FORMULA.fullmatch(word):
        formula = "it looks like a molecular formula, which names no single molecule"
        unclosed = next((char for char in word if char.isdigit() and word.count(char) % 2), "")
        return f"; ring {unclosed} is not closed, or {formula}" if unclosed else f"; {formula}"
    if _NAME.fullmatch(word) and not set(word) & set("=#@/\\.$"):
        return "; if it is a name, look it up and send the molecule's SMILES or InChI"
    return ""
