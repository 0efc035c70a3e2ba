from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pytest

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.formats.guards.archives import open_zip
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.workbooks.xlsx_reader import read_xlsx
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.workbooks import part, with_part, workbook

LIMITS = Limits(rows=1_000, columns=50, decoded_bytes=2**22)
SHEET = "xl/worksheets/sheet1.xml"
ROWS = [["a", "b"], [1.5, "x"], [2.0, None]]


def read(data: bytes, options: TableOptions | None = None, limits: Limits = LIMITS) -> Frame:
    with open_zip(data, limits.decoded_bytes) as archive:
        return read_xlsx(archive, limits, options or TableOptions())


@pytest.mark.parametrize("shared", [True, False])
def test_numbers_texts_and_missing_cells_are_read(shared):
    frame = read(workbook({"S": ROWS}, shared=shared))
    assert frame.numbers("a").tolist() == [1.5, 2.0]
    assert frame.texts("b") == ["x", None]


def test_dates_truth_values_and_errors_have_their_types():
    day = datetime(2024, 2, 29, 13, 30)
    rows = [["when", "flag", "value"], [day, True, "#N/A"], [day, False, 3.0]]
    frame = read(workbook({"S": rows}))
    assert frame.columns["when"].tolist() == [day, day]
    assert frame.texts("flag") == ["true", "false"]
    assert math.isnan(frame.numbers("value")[0])


def test_the_first_sheet_with_cells_is_read_and_the_others_are_noted():
    data = workbook({"Cover": [], "Data": ROWS, "Hidden": [["z"]], "More": ROWS}, hidden=["Hidden"])
    with collect_notes() as notes:
        assert list(read(data).columns) == ["a", "b"]
    (note,) = notes
    assert (note.code, note.count) == (NoteCode.IGNORED, 2)
    assert "'Cover', 'More'" in note.text


def test_a_cover_without_rows_says_that_there_are_other_sheets():
    with pytest.raises(InvalidInputError, match=r"'Cover' was read, .*'Data'.*'sheet' states"):
        read(workbook({"Cover": [["Read me"]], "Data": ROWS}))
    with pytest.raises(InvalidInputError, match=r"a header line and no rows$"):
        read(workbook({"Cover": [["Read me"]]}))


def test_a_stated_sheet_is_read_without_a_note():
    data = workbook({"A": [["x"], [1.0]], "B": ROWS})
    with collect_notes() as notes:
        assert list(read(data, TableOptions(sheet="B")).columns) == ["a", "b"]
    assert not len(notes)
    with pytest.raises(InvalidInputError, match="no sheet 'C'; its sheets are 'A', 'B'"):
        read(data, TableOptions(sheet="C"))


def test_titles_units_and_empty_rows_are_left_out_and_noted():
    rows = [
        ["Report of 2024", None, None],
        [None, None, None],
        ["time", "speed", "note"],
        ["s", "m/s", None],
        [0.0, 1.5, "x"],
        [None, None, None],
        [1.0, 2.5, "y"],
    ]
    with collect_notes() as notes:
        frame = read(workbook({"S": rows}))
    assert frame.numbers("speed").tolist() == [1.5, 2.5]
    assert dict(frame.units) == {"time": "s", "speed": "m/s"}
    assert {note.code for note in notes} == {NoteCode.DROPPED, NoteCode.IGNORED}


def test_an_empty_workbook_is_refused():
    with pytest.raises(InvalidInputError, match="empty"):
        read(workbook({"S": []}))
    with pytest.raises(InvalidInputError, match="no rows"):
        read(workbook({"S": [["a", "b"]]}))


def test_a_binary_workbook_is_unsupported():
    data = workbook({"S": ROWS}, parts={})
    renamed = data.replace(b"xl/workbook.xml", b"xl/workbook.bin")
    with pytest.raises(UnsupportedMediaTypeError, match="XLSB"):
        read(renamed)


@pytest.mark.parametrize(
    "reference", [b"XFD1048576", b"A1048576", b"XFD2", b"ZZZZZZZ4294967295", b"A0", b"2", b"AAAA3"]
)
def test_a_far_cell_costs_no_rectangle(reference):
    data = with_part(workbook({"S": ROWS}), SHEET, b'"B2"', b'"' + reference + b'"')
    with pytest.raises((TooLargeError, UndecodableError, InvalidInputError)):
        read(data)


@pytest.mark.parametrize("row", [b"1048576", b"99999999999", b"-1", b"x"])
def test_a_far_row_without_references_costs_no_rectangle(row):
    cells = b'<row r="' + row + b'"><c><v>1</v></c></row></sheetData>'
    data = with_part(workbook({"S": ROWS}), SHEET, b"</sheetData>", cells)
    with pytest.raises((TooLargeError, UndecodableError)):
        read(data)


def test_prefixes_hide_no_cells():
    cell = b'<z:c r="XFD1048576"><z:v>1</z:v></z:c></row>'
    with pytest.raises(TooLargeError):
        read(with_part(workbook({"S": ROWS}), SHEET, b"</row>", cell))


def test_more_cells_than_the_limit_are_refused():
    rows = [[float(i) for i in range(40)] for _ in range(900)]
    with pytest.raises(TooLargeError, match="cells"):
        read(workbook({"S": rows}), limits=Limits(rows=1_000, columns=50, decoded_bytes=2**20))


def test_a_long_text_that_many_cells_share_is_counted_for_each():
    rows = [["name"], *[["x" * 5_000]] * 900]
    with pytest.raises(TooLargeError, match="texts"):
        read(workbook({"S": rows}))
    assert read(workbook({"S": [["name"], *[["x"]] * 900]})).rows == 900


def test_rows_and_columns_over_the_limit_are_refused():
    with pytest.raises(TooLargeError, match="rows"):
        read(workbook({"S": [["a"], *[[1.0]] * 1_100]}))
    with pytest.raises(TooLargeError, match="columns"):
        read(workbook({"S": [["a"] * 51, [1.0] * 51]}))


def test_a_sheet_that_unpacks_to_more_than_the_limit_is_refused():
    data = with_part(
        workbook({"S": ROWS}), SHEET, b"</sheetData>", b"<row/>" * 10**6 + b"</sheetData>"
    )
    assert len(data) < 20_000
    with pytest.raises(TooLargeError, match="unpacks"):
        read(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<worksheet", b'<!DOCTYPE a [<!ENTITY b "c">]><worksheet'),
        (b"</worksheet>", b""),
        (b't="s"><v>0<', b't="s"><v>99<'),
        (b't="s"><v>0<', b't="s"><v>-1<'),
        (b"<worksheet", b"\xff\xfe<worksheet"),
    ],
)
def test_damaged_sheets_are_undecodable(old, new):
    with pytest.raises(UndecodableError):
        read(with_part(workbook({"S": ROWS}), SHEET, old, new))


def test_a_workbook_without_its_parts_is_undecodable():
    data = workbook({"S": ROWS}).replace(
        b"xl/_rels/workbook.xml.rels", b"xl/_rels/workbook.xml.relx"
    )
    with pytest.raises(UndecodableError, match="part is missing"):
        read(data)


def test_cells_without_references_stand_side_by_side():
    data = workbook({"S": [["a", "b"], [1.0, 2.0]]}, shared=False)
    sheet = part(data, SHEET)
    for reference in (b' r="A1"', b' r="B1"', b' r="A2"', b' r="B2"'):
        data = with_part(data, SHEET, reference, b"")
    assert part(data, SHEET) != sheet
    frame = read(data)
    assert np.array_equal(frame.numbers("b"), [2.0])


@pytest.mark.parametrize("part_name", [SHEET, "xl/sharedStrings.xml"])
def test_very_many_elements_are_refused_soon(part_name, monkeypatch):
    parts = "omnivec2.preprocess.formats.tables.workbooks.workbook_parts"
    monkeypatch.setattr(f"{parts}._MOST_ELEMENTS", 1_000)
    end = b"</sheetData>" if part_name == SHEET else b"</sst>"
    filler = b"<row/>" if part_name == SHEET else b"<si/>"
    data = with_part(workbook({"S": ROWS}), part_name, end, filler * 70_000 + end)
    with pytest.raises(TooLargeError):
        read(data)
