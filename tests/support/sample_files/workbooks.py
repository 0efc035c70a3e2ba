"""Small XLSX workbooks, written as Excel does: a ZIP file of XML parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from xml.sax.saxutils import escape

_FORMATS = "http://schemas.openxmlformats.org/"
_MAIN = f'xmlns="{_FORMATS}spreadsheetml/2006/main"'
_OFFICE = f"{_FORMATS}officeDocument/2006/relationships"
_DATE_STYLE = (
    f"<styleSheet {_MAIN}><fonts><font/></fonts><fills><fill/></fills><borders><border/></borders>"
    '<cellStyleXfs><xf numFmtId="0"/></cellStyleXfs>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>'
)

Cell = str | float | bool | datetime | None


def workbook(
    sheets: Mapping[str, Sequence[Sequence[Cell]]],
    *,
    shared: bool = True,
    hidden: Sequence[str] = (),
    parts: Mapping[str, bytes] | None = None,
) -> bytes:
    """Write a workbook.

    Args:
        sheets: The name of each sheet -> its rows.
        shared: Whether texts stand in a part of their own, as Excel writes them.
        hidden: The names of hidden sheets.
        parts: The parts that replace those that were written.
    """
    texts: list[str] = []
    written = {
        "[Content_Types].xml": f'<Types xmlns="{_FORMATS}package/2006/content-types"/>',
        "_rels/.rels": _relations({"rId1": ("officeDocument", "xl/workbook.xml")}),
        "xl/styles.xml": _DATE_STYLE,
    }
    listed, targets = [], {}
    for number, (name, rows) in enumerate(sheets.items(), 1):
        state = ' state="hidden"' if name in hidden else ""
        listed.append(f'<sheet name="{name}" sheetId="{number}"{state} r:id="rId{number}"/>')
        targets[f"rId{number}"] = ("worksheet", f"worksheets/sheet{number}.xml")
        written[f"xl/worksheets/sheet{number}.xml"] = _sheet(rows, texts if shared else None)
    targets["rId98"] = ("styles", "styles.xml")
    targets["rId99"] = ("sharedStrings", "sharedStrings.xml")
    written["xl/workbook.xml"] = (
        f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>{"".join(listed)}</sheets></workbook>'
    )
    written["xl/_rels/workbook.xml.rels"] = _relations(targets)
    items = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    written["xl/sharedStrings.xml"] = f"<sst {_MAIN}>{items}</sst>"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            {k: v.encode() for k, v in written.items()} | dict(parts or {})
        ).items():
            archive.writestr(name, content)
    return file.getvalue()


def part(data: bytes, name: str) -> bytes:
    """Return a part of a workbook."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


def with_part(data: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """Return a workbook in which a part reads otherwise."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w", 8) as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == name:
                assert old in content
                content = content.replace(old, new)
            target.writestr(info.filename, content)
    return file.getvalue()


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    items = "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_FORMATS}package/2006/relationships">{items}</Relationships>'


def _sheet(rows: Sequence[Sequence[Cell]], texts: list[str] | None) -> str:
    lines = []
    for number, row in enumerate(rows, 1):
        cells = [_cell(f"{_letters(i)}{number}", cell, texts) for i, cell in enumerate(row)]
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    return f"<worksheet {_MAIN}><sheetData>{''.join(lines)}</sheetData></worksheet>"


def _cell(reference: str, cell: Cell, texts: list[str] | None) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return f'<c r="{reference}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, datetime):
        days = (cell - datetime(1899, 12, 30)).total_seconds() / 86_400
        return f'<c r="{reference}" s="1"><v>{days!r}</v></c>'
    if not isinstance(cell, str):
        return f'<c r="{reference}"><v>{cell!r}</v></c>'
    if cell.startswith("#"):
        return f'<c r="{reference}" t="e"><v>{cell}</v></c>'
    if texts is None:
        return f'<c r="{reference}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
    if cell not in texts:
        texts.append(cell)
    return f'<c r="{reference}" t="s"><v>{texts.index(cell)}</v></c>'


def _letters(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
