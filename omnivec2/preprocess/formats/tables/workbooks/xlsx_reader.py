"""XLSX workbooks -> a frame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import python_calamine as calamine

from omnivec2.errors import InvalidInputError, UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.formats.guards.archives import ZipArchive
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.table_file import WORKBOOK
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.table_rows import Row, frame_of_rows
from omnivec2.preprocess.formats.tables.workbooks.workbook_parts import (
    Sheet,
    checked_copy,
    visible_sheets,
)
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits


def read_xlsx(archive: ZipArchive, limits: Limits, options: TableOptions) -> Frame:
    """Read one sheet of a workbook.

    Raises:
        UndecodableError: the file is damaged.
        UnsupportedMediaTypeError: it is a binary workbook.
        TooLargeError: there are too many rows, columns, cells or bytes.
        InvalidInputError: there is no such sheet, or none holds cells.
    """
    if WORKBOOK not in archive.names:
        raise UnsupportedMediaTypeError(
            "unsupported: a binary workbook (XLSB); save it as XLSX or CSV", field="inputs"
        )
    sheets = visible_sheets(archive)
    wanted = [sheet for sheet in sheets if options.sheet in (None, sheet.name)]
    if not wanted:
        there = ", ".join(repr(sheet.name) for sheet in sheets[:20]) or "none"
        raise InvalidInputError(
            f"the workbook has no sheet {options.sheet!r}; its sheets are {there}"
            if sheets
            else "the workbook has no visible sheet",
            field="parameters.sheet" if sheets else "inputs",
        )
    for sheet in wanted:
        copy = checked_copy(archive, sheet, limits)
        if copy is not None:
            _note_others(sheets, sheet, stated=options.sheet is not None)
            return frame_of_rows(_rows(copy, sheet), "XLSX row", hint=_hint(sheets, sheet))
    raise InvalidInputError("the workbook is empty: no sheet holds a value", field="inputs")


def _hint(sheets: Sequence[Sheet], used: Sheet) -> str:
    """Return where else the rows may be that a sheet lacks, as the end of a sentence; or ""."""
    others = ", ".join(repr(sheet.name) for sheet in sheets if sheet is not used)
    if not others:
        return ""
    return (
        f"; the sheet {used.name!r} was read, and there are others ({others[:120]}): the parameter "
        "'sheet' states which one"
    )


def _note_others(sheets: Sequence[Sheet], used: Sheet, *, stated: bool) -> None:
    if len(sheets) > 1 and not stated:
        others = ", ".join(repr(sheet.name) for sheet in sheets if sheet is not used)
        note(
            NoteCode.IGNORED,
            f"the sheet {used.name!r} was read and others were not ({others[:120]}); the "
            "parameter 'sheet' states which one",
            count=len(sheets) - 1,
        )


def _rows(workbook: bytes, sheet: Sheet) -> list[Row]:
    try:
        with calamine.load_workbook(io.BytesIO(workbook)) as opened:
            cells = opened.get_sheet_by_name(sheet.name)
            first = cells.start[0] + 1 if cells.start else 1
            rows = cells.to_python()
    except (calamine.CalamineError, OSError, ValueError, OverflowError) as error:
        raise _damaged() from error
    except BaseException as error:
        # A panic of the library; it derives from no other class, and its module has no name.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged() from error
    return [Row(first + index, [_cell(cell) for cell in row]) for index, row in enumerate(rows)]


def _cell(cell: Any) -> Any:
    """Return a cell as a frame holds it."""
    if cell == "" or isinstance(cell, str | bool | float):
        return cell
    if isinstance(cell, int):
        return float(cell)
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return cell.isoformat() if isinstance(cell, time) else str(cell)


def _damaged() -> UndecodableError:
    return UndecodableError("not a readable XLSX file; it is damaged or truncated", field="inputs")
