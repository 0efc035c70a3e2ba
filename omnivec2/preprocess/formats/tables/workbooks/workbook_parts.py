"""The parts of an XLSX workbook, checked before a library reads them.

A workbook is a ZIP file of XML. Libraries hold the rectangle from the first to the last cell of a
sheet, and a copy of a shared text for every cell that names it, so a small file can ask for any
amount of memory. Here the XML is walked once by a parser that keeps nothing, and what it declares
is compared with the limits.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.parsers import expat

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.archives import ZipArchive
from omnivec2.preprocess.formats.tables.table_file import WORKBOOK
from omnivec2.preprocess.formats.tables.table_limits import check_columns, check_rows
from omnivec2.preprocess.formats.tables.table_rows import MOST_LINES_ABOVE
from omnivec2.spec import Limits

_TEXTS, _STYLES = "xl/sharedStrings.xml", "xl/styles.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_KEPT = ("[Content_Types].xml", "_rels/.rels", WORKBOOK, _RELATIONS, _STYLES)
_LETTERS = re.compile(r"[A-Z]{1,3}", re.IGNORECASE)
_LONGEST_REFERENCE = 10
_ROW = re.compile(r"[1-9][0-9]{0,6}")

_CELL_BYTES = 64
"""A cell in memory: 32 bytes of the library's rectangle, filled or not, and an object."""

_MOST_ELEMENTS = 4_000_000
"""The most elements of a part of a workbook: a cell has up to three, and its row one."""

Attributes = Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, and the path of its part."""

    name: str
    path: str


def visible_sheets(archive: ZipArchive) -> list[Sheet]:
    """Return the worksheets that a person sees, in their order."""
    paths: dict[str, str] = {}

    def relation(name: str, attributes: Attributes) -> None:
        if _local(name) == "Relationship" and attributes.get("Type", "").endswith("/worksheet"):
            target = attributes.get("Target", "")
            path = target[1:] if target.startswith("/") else posixpath.join("xl", target)
            paths[attributes.get("Id", "")] = posixpath.normpath(path)

    found: list[Sheet] = []

    def sheet(name: str, attributes: Attributes) -> None:
        if _local(name) == "sheet" and attributes.get("state", "visible") == "visible":
            ids = (value for key, value in attributes.items() if _local(key) == "id")
            path = paths.get(next(ids, ""))
            if path in archive.names:
                found.append(Sheet(attributes.get("name", ""), path or ""))

    _walk(_part(archive, _RELATIONS), relation)
    _walk(_part(archive, WORKBOOK), sheet)
    return found


def checked_copy(archive: ZipArchive, sheet: Sheet, limits: Limits) -> bytes | None:
    """Return an unpacked workbook of one sheet that is within the limits; None if it is empty.

    Raises:
        TooLargeError: it has too many rows, columns or cells, or its texts are too long.
        UndecodableError: it is damaged.
    """
    cells = _part(archive, sheet.path)
    texts = archive.read(_TEXTS) if _TEXTS in archive.names else b""
    most_cells = limits.decoded_bytes // _CELL_BYTES
    if not _check_sheet(cells, _text_lengths(texts, most_cells) if texts else [], limits):
        return None
    parts = {name: archive.read(name) for name in _KEPT if name in archive.names}
    parts |= {sheet.path: cells} | ({_TEXTS: texts} if texts else {})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as copy:
        for name, content in parts.items():
            copy.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _part(archive: ZipArchive, name: str) -> bytes:
    if name not in archive.names:
        raise UndecodableError("not a readable XLSX file: a part is missing", field="inputs")
    return archive.read(name)


class _Extent:
    """The rectangle of a sheet's filled cells, and the length of its texts, while it is walked."""

    def __init__(self, lengths: list[int], limits: Limits) -> None:
        self.cells = 0
        self._lengths, self._left = lengths, limits.decoded_bytes
        self._most_cells = limits.decoded_bytes // _CELL_BYTES
        self._elements_left = _MOST_ELEMENTS
        self._row = self._first_row = self._last_row = 0
        # A cell without a reference stands behind the one before it.
        self._column = 0
        self._letters: set[str] = set()
        self._columns: set[int] = set()
        self._reference: str | None = None
        self._is_shared = self._in_value = False
        self._index = ""

    def start(self, name: str, attributes: Attributes) -> None:
        """Follow the rows and cells; a cell counts once it holds a value or a formula."""
        self._elements_left -= 1
        if self._elements_left < 0:
            raise _too_many_cells(self._most_cells)
        if name == "c":
            self._reference = attributes.get("r")
            self._column = self._column + 1 if self._reference is None else 0
            self._is_shared = attributes.get("t") == "s"
        elif name in ("v", "is", "f"):
            self._fill()
            self._in_value, self._index = name == "v" and self._is_shared, ""
        elif name == "row":
            stated = attributes.get("r")
            if stated is not None and not _ROW.fullmatch(stated):
                raise _damaged()
            self._row, self._column = int(stated) if stated else self._row + 1, 0
        elif ":" in name:
            self.start(_local(name), attributes)

    def characters(self, text: str) -> None:
        """Collect the number of a shared text."""
        if self._in_value:
            self._index += text

    def end(self, name: str) -> None:
        """Account for the copy of a shared text."""
        if not self._in_value or _local(name) != "v":
            return
        self._in_value = False
        index = self._index.strip()
        if not index.isdecimal() or len(index) > 9 or int(index) >= len(self._lengths):
            raise _damaged()
        self._left -= self._lengths[int(index)]
        if self._left < 0:
            raise TooLargeError("the texts of the sheet are too long", field="inputs")

    def rows_and_columns(self) -> tuple[int, int]:
        """Return the size of the rectangle."""
        columns = self._columns | {_column_number(letters) for letters in self._letters}
        return self._last_row - self._first_row + 1, max(columns) - min(columns) + 1

    def _fill(self) -> None:
        row, reference = self._row, self._reference
        if reference is None:
            self._columns.add(self._column)
        else:
            letters = reference.rstrip("0123456789")
            digits = reference[len(letters) :]
            if not digits or len(reference) > _LONGEST_REFERENCE:
                raise _damaged()
            self._letters.add(letters)
            row = self._row = int(digits)
        if not self.cells:
            self._first_row = self._last_row = row
        elif row > self._last_row:
            self._last_row = row
        elif row < self._first_row:
            self._first_row = row
        self.cells += 1
        if self.cells > self._most_cells:
            raise _too_many_cells(self._most_cells)


def _check_sheet(xml: bytes, lengths: list[int], limits: Limits) -> int:
    """Walk a sheet, and return the number of its filled cells."""
    extent = _Extent(lengths, limits)
    if lengths:
        _walk(xml, extent.start, extent.characters, extent.end)
    else:
        _walk(xml, extent.start)
    if not extent.cells:
        return 0
    rows, columns = extent.rows_and_columns()
    check_columns(columns, limits)
    if limits.rows is not None and rows > limits.rows + MOST_LINES_ABOVE + 2:
        check_rows(rows, limits)
    most = limits.decoded_bytes // _CELL_BYTES
    if rows * columns > most:
        raise _too_many_cells(most)
    return extent.cells


def _text_lengths(xml: bytes, most: int) -> list[int]:
    """Return the length of each shared text."""
    lengths: list[int] = []

    def start(name: str, attributes: Attributes) -> None:
        if _local(name) == "si":
            lengths.append(0)
            if len(lengths) > most:
                raise _too_many_cells(most)

    def characters(text: str) -> None:
        if lengths:
            lengths[-1] += len(text)

    _walk(xml, start, characters)
    return lengths


def _walk(
    xml: bytes,
    start: Callable[[str, Attributes], None],
    characters: Callable[[str], None] | None = None,
    end: Callable[[str], None] | None = None,
) -> None:
    """Call back for every element, by its name with any prefix, and for texts.

    Raises:
        UndecodableError: the XML is damaged, is not UTF-8, or declares a document type.
    """
    # A stated encoding is overruled: another parser might see other elements in the bytes.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise _damaged()

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    if characters is not None:
        parser.CharacterDataHandler = characters
    if end is not None:
        parser.EndElementHandler = end
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise _damaged() from error


def _local(name: str) -> str:
    """Return a name without its prefix, whatever that stands for: libraries read it so."""
    return name.rpartition(":")[2]


def _column_number(letters: str) -> int:
    if not _LETTERS.fullmatch(letters):
        raise _damaged()
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _damaged() -> UndecodableError:
    return UndecodableError("not a readable XLSX file; it is damaged or truncated", field="inputs")


def _too_many_cells(most: int) -> TooLargeError:
    return TooLargeError(
        f"the sheet spans more than {most:,} cells; send it as CSV or Parquet", field="inputs"
    )
