"""Tables with a row per input: ``csv`` (and TSV), ``parquet`` and ``jsonl``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from omnivec2.errors import InvalidInputError
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.kinds.base import Names
from omnivec2.training.data.blocks.kinds.rows.arrow_files import (
    read_class_names,
    read_parquet_columns,
)
from omnivec2.training.data.blocks.kinds.rows.table_cells import Rows, named_rows
from omnivec2.training.data.blocks.kinds.rows.table_reading import TableBlock
from omnivec2.training.data.table_files import read_json_lines, read_table


class CsvBlock(TableBlock):
    """A CSV or TSV file, plain or gzipped, or an Excel workbook (XLSX).

    Text files may have a header line or none.
    """

    kind: Literal["csv"] = "csv"
    columns: Names = Field(
        default=(), description="the names of all columns, where the file has no header line"
    )
    tabs: bool = Field(
        default=False, description="fields end at tabs and quotes mean nothing, as in .tsv"
    )

    encoding: str | None = Field(
        default=None, description="encoding of the text, such as cp1252; UTF-8 unless given"
    )

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file; every row must have as many cells as the first."""
        frame = read_table(path, tabs=self.tabs, names=self.columns or None, encoding=self.encoding)
        if frame.twice:
            raise InvalidInputError(
                f"several columns are named {listed(sorted(frame.twice))} and hold different "
                "values; rename them, or give the names of all columns of a file without a header "
                "in `columns`"
            )
        numbers = [frame.row_number(row) for row in range(frame.rows)]
        return Rows(frame.columns, numbers, frame=frame)


class ParquetBlock(TableBlock):
    """A Parquet file; cells may be lists of tags and structs of bytes and path."""

    kind: Literal["parquet"] = "parquet"

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file."""
        return named_rows(read_parquet_columns(path), read_class_names(path))


class JsonLinesBlock(TableBlock):
    """A file with a JSON object per line, or with one list of objects."""

    kind: Literal["jsonl"] = "jsonl"

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of a file; a key that a row lacks is an empty cell."""
        rows = read_json_lines(path)
        names = dict.fromkeys(name for _, row in rows for name in row)
        columns = {name: [row.get(name) for _, row in rows] for name in names}
        return Rows(columns, [number for number, _ in rows], "line")
