"""What a caller can state of a table: its encoding, delimiter, decimal mark and sheet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from omnivec2.preprocess.source_options import SourceOptions


class TableOptions(SourceOptions):
    """What can be stated of a table file. Modalities of tables add theirs to these."""

    charset: str | None = Field(
        default=None,
        max_length=40,
        description="The encoding of a CSV file; by default UTF-8, or what its byte order mark "
        "says. The `charset` of its content type says the same.",
    )
    delimiter: Literal[",", ";", "\t", "|", " "] | None = Field(
        default=None,
        description="What separates the fields of a CSV file; found in its first lines by default.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None,
        description="The decimal mark of numbers that are text; concluded from them by default.",
    )
    sheet: str | None = Field(
        default=None,
        max_length=200,
        description="The name of the sheet of a workbook; the first one with cells by default.",
    )
