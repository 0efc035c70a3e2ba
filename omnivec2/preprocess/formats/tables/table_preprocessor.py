"""The base class of the modalities that read tables: CSV, Parquet, XLSX, JSON columns and rows."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar, TypeVar

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.base import Parameters, Preprocessor
from omnivec2.preprocess.formats.guards.archives import gunzip, open_zip
from omnivec2.preprocess.formats.guards.json_text import parse_json, unwrap_inputs
from omnivec2.preprocess.formats.guards.text_encoding import decode_text
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.json_reader import read_json
from omnivec2.preprocess.formats.tables.table_file import (
    GZIP_TYPE,
    MEDIA_TYPES,
    UNSPECIFIC_TYPES,
    ZIP_TYPE,
    binary_type,
    is_workbook,
    may_unpack,
    table_type,
    unsupported,
)
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.formats.tables.values.column_names import plain_name
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated

ParametersT = TypeVar("ParametersT", bound=Parameters)
NativeT = TypeVar("NativeT")

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=_\-\s]")
_BASE64_LINES = (64, 76)


class TablePreprocessor(Preprocessor[ParametersT, NativeT]):
    """Reads CSV, Parquet, XLSX and JSON in several forms; a modality converts the frame."""

    media_types: ClassVar[dict[str, str]] = MEDIA_TYPES
    source_options_type = TableOptions
    takes_tables = True
    text_numbers: ClassVar[bool] = False
    """Whether a JSON string may spell a number."""
    list_cells: ClassVar[bool] = False
    """Whether a cell of Parquet may hold a list of numbers."""

    @property
    def known_columns(self) -> Collection[str]:
        """The names of the columns that are read; empty if any are."""
        return ()

    @abstractmethod
    def from_frame(self, frame: Frame) -> NativeT:
        """Convert a table from any source to the native value."""

    def sniff(self, data: bytes) -> str | None:
        """Detect binary formats by their first bytes, JSON by its first; other text is CSV."""
        return table_type(data)

    def may_expand(self, value: bytes | JsonValue) -> bool:
        """Whether it is a packed file, or a file of any kind within JSON."""
        return may_unpack(value) if isinstance(value, bytes) else isinstance(value, str)

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Whether it is a binary file; text is read in Python."""
        return self.may_expand(value)

    def decode(self, data: bytes, media_type: str | None = None) -> NativeT:
        """Decode one file; see the base class for errors."""
        if not data.strip():
            raise UndecodableError(f"empty input; expected {self.accepts}", field="inputs")
        declared, charset = _declared(media_type)
        if declared is not None and declared not in self.media_types:
            raise UnsupportedMediaTypeError(f"{declared} is not accepted; expected {self.accepts}")
        if (what := unsupported(data)) is not None:
            raise UnsupportedMediaTypeError(f"unsupported: {what}", field="inputs")
        unspecific = declared is None or declared in UNSPECIFIC_TYPES
        kind = binary_type(data) or (self.sniff(data) if unspecific else declared)
        if kind is None:
            raise UndecodableError(f"not a known table format; expected {self.accepts}")
        return self._decode(data, self.media_types[kind], charset)

    def _decode(self, data: bytes, name: str, charset: str | None) -> NativeT:
        options = stated(TableOptions)
        if name == "CSV":
            return self._from_frame(read_csv(data, self.limits, options, charset), options)
        if name == "JSON":
            return self._decode_json_text(data, options.charset or charset)
        if name == "JSON Lines":
            return self._decode_json_lines(data, options.charset or charset)
        if name.startswith("GZIP"):
            return self._decode_member(gunzip(data, self.limits.bytes), charset)
        if name.startswith("ZIP"):
            return self._decode_zip(data, options, charset)
        if name == "XLSX":
            raise UndecodableError("the bytes are no XLSX file", field="inputs")
        # Slow to import, and needed for this format alone.
        from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet

        return self._from_frame(read_parquet(data, self.limits, lists=self.list_cells), options)

    def _from_frame(self, frame: Frame, options: TableOptions) -> NativeT:
        if options.decimal is not None:
            frame = replace(frame, decimal=options.decimal)
        return self.from_frame(frame)

    def _decode_json_text(self, data: bytes, charset: str | None) -> NativeT:
        if charset is not None or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            data = decode_text(data, charset).encode()
        try:
            value = unwrap_inputs(parse_json(data))
        except UndecodableError:
            if not _may_be_json_lines(data):
                raise
            return self._decode_json_lines(data, None)
        return self.decode_json(value)

    def _decode_json_lines(self, data: bytes, charset: str | None) -> NativeT:
        """Decode one JSON value a line: row objects, or inputs of the modality."""
        lines = decode_text(data, charset).split("\n")
        values: list[JsonValue] = []
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    values.append(parse_json(line.encode()))
                except UndecodableError as error:
                    raise UndecodableError(
                        f"JSON Lines, line {number}: {error}", field="inputs"
                    ) from error
        return self.decode_json_rows(values)

    def decode_json_rows(self, values: list[JsonValue]) -> NativeT:
        """Decode the values of JSON Lines, whose rows may lack fields."""
        return self._decode_table(values, absent_is_null=True)

    def _decode_table(self, value: JsonValue, *, absent_is_null: bool = False) -> NativeT:
        frame = read_json(
            value,
            self.limits,
            text_numbers=self.text_numbers,
            known=self.known_columns,
            absent_is_null=absent_is_null,
        )
        return self._from_frame(frame, stated(TableOptions))

    def _decode_zip(self, data: bytes, options: TableOptions, charset: str | None) -> NativeT:
        with open_zip(data, self.limits.decoded_bytes) as archive:
            if is_workbook(archive.names):
                from omnivec2.preprocess.formats.tables.workbooks.xlsx_reader import read_xlsx

                return self._from_frame(read_xlsx(archive, self.limits, options), options)
            if "content.xml" in archive.names:
                raise UnsupportedMediaTypeError(
                    "unsupported: an OpenDocument spreadsheet; save it as XLSX or CSV",
                    field="inputs",
                )
            names = [n for n in archive.names if not n.startswith("__MACOSX/")]
            if len(names) != 1:
                raise InvalidInputError(
                    f"the ZIP file holds {len(names)} files; expected one table", field="inputs"
                )
            return self._decode_member(archive.read(names[0], self.limits.bytes), charset)

    def _decode_member(self, data: bytes, charset: str | None) -> NativeT:
        """Decode the file of an archive, which is held to the limits of any file."""
        kind = binary_type(data)
        is_archive = kind == GZIP_TYPE
        if kind == ZIP_TYPE:
            # A workbook is a ZIP file itself, but no archive within an archive.
            with open_zip(data, self.limits.decoded_bytes) as archive:
                is_archive = not is_workbook(archive.names)
        if is_archive:
            raise InvalidInputError("the archive holds another archive", field="inputs")
        return self.decode(data, f"text/plain; charset={charset}" if charset else None)

    def decode_json(self, value: JsonValue) -> NativeT:
        """Decode columns, rows, or a file as a string: base64, or its text as it is."""
        if isinstance(value, str):
            if _is_text_of_file(value):
                note(NoteCode.GUESSED, "the string was read as the text of a CSV or JSON file")
                return self.decode(value.encode(), "text/plain; charset=utf-8")
            return self.decode(self.decode_base64(value))
        return self._decode_table(value)

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of tables; a list of rows, or of numbers, is a single one."""
        if not isinstance(value, list) or not value:
            return None
        return None if all(self._is_row(item) for item in value) else value

    def _is_row(self, item: JsonValue) -> bool:
        if not isinstance(item, dict):
            return not isinstance(item, list | str)
        if names := {plain_name(name) for name in self.known_columns}:
            cells = [cell for name, cell in item.items() if plain_name(name) in names]
            if cells:
                return not any(isinstance(cell, list | dict) for cell in cells)
        return not any(isinstance(cell, list | dict) for cell in item.values())


def _declared(media_type: str | None) -> tuple[str | None, str | None]:
    """Return a content type without its parameters, and the charset among them."""
    if media_type is None:
        return None, None
    found = _CHARSET.search(media_type)
    return media_type.partition(";")[0].strip().lower(), found.group(1) if found else None


def _may_be_json_lines(data: bytes) -> bool:
    """Whether the first line is a JSON value of its own, with another one below it."""
    first, _, rest = data.strip().partition(b"\n")
    if not rest.strip():
        return False
    try:
        parse_json(first)
    except UndecodableError:
        return False
    return True


def _is_text_of_file(value: str) -> bool:
    """Whether a string is a file's text rather than base64, which has few characters."""
    if value.startswith("data:"):
        return False
    if _NOT_BASE64.search(value[:4096]):
        return True
    first, line_break, rest = value.strip().partition("\n")
    # Base64 in lines has them of one length, which is longer than most fields.
    return bool(line_break and rest) and len(first.rstrip()) not in _BASE64_LINES
