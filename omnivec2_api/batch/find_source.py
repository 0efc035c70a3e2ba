"""The source of a batch, from what a user names: folders, patterns, a table, lines of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from omnivec2.errors import InvalidInputError
from omnivec2.sharing.object_storage import is_object_address
from omnivec2_api.batch.file_source import FileSource, find_files
from omnivec2_api.batch.items import NOTHING_SKIPPED, Item, Skipped, Source
from omnivec2_api.batch.object_paths import ObjectPath, file_path, stamps_of
from omnivec2_api.batch.object_source import find_objects
from omnivec2_api.batch.table_source import (
    ROW_COLUMN,
    TABLE_READERS,
    Meaning,
    open_table,
)
from omnivec2_api.input_values import TEXT_MODALITIES, JsonInputValue

STREAM = "-"


@dataclass(frozen=True)
class SourceOptions:
    """How inputs are found and read.

    Attributes:
        pattern: A pattern for the names of files in folders; None takes those of known types.
        column: The column of a table that holds the input; None finds it.
        meaning: Whether the column, or the lines of a stream, are paths or the inputs themselves;
            None decides by modality.
        keep: The columns of a table that are copied.
    """

    pattern: str | None = None
    column: str | None = None
    meaning: Meaning | None = None
    keep: Sequence[str] = ()

    @property
    def are_of_tables(self) -> bool:
        """Whether an option is given that only tables have."""
        return self.column is not None or bool(self.keep)


@dataclass(frozen=True)
class LineSource:
    """Lines of text, each of which is an input.

    Attributes:
        lines: The lines.
    """

    lines: Sequence[str]

    @property
    def key_columns(self) -> Mapping[str, str]:
        """The number of the line, from 0."""
        return {ROW_COLUMN: "int64"}

    @property
    def has_parts(self) -> bool:
        """No line has parts."""
        return False

    @property
    def skipped(self) -> Skipped:
        """No line is skipped."""
        return NOTHING_SKIPPED

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Item]:
        for number, line in enumerate(self.lines):
            yield Item({ROW_COLUMN: number}, JsonInputValue(line), line)


def find_source(
    modality: str, inputs: Sequence[str], options: SourceOptions, stream: TextIO
) -> Source:
    """Return the source of what a user names.

    Args:
        modality: The modality of the inputs.
        inputs: The folders, patterns and files; one table; or ``-`` for the lines of the stream,
            which are paths, or of ``text`` and ``graph`` the inputs themselves.
        options: The options.
        stream: The stream that ``-`` stands for.

    Raises:
        InvalidInputError: There is no input, or the options do not fit.
    """
    if list(inputs) == [STREAM]:
        return _lines(modality, stream, options.meaning)
    if STREAM in inputs:
        raise InvalidInputError(f"{STREAM} stands alone: it is the list of all inputs")
    of_bucket = [is_object_address(name) for name in inputs]
    if any(of_bucket) and not all(of_bucket):
        raise InvalidInputError("name either files of this machine or objects of s3://, not both")
    first = file_path(inputs[0])
    if len(inputs) == 1 and first.suffix.lower() in TABLE_READERS and first.is_file():
        table = open_table(
            first,
            modality,
            column=options.column,
            meaning=options.meaning,
            keep=options.keep,
        )
        if table is not None:
            return table
    if options.are_of_tables:
        raise InvalidInputError("--column and --keep are for one table: CSV, JSON Lines or Parquet")
    find = find_objects if all(of_bucket) else find_files
    return find(modality, inputs, options.pattern)


def _lines(modality: str, stream: TextIO, meaning: Meaning | None) -> Source:
    lines = [line for line in (line.rstrip("\r\n") for line in stream) if line.strip()]
    if not lines:
        raise InvalidInputError("standard input has no lines")
    are_values = modality in TEXT_MODALITIES if meaning is None else meaning == "value"
    if are_values:
        return LineSource(lines)
    objects = [name for name in lines if is_object_address(name)]
    stamps = stamps_of([ObjectPath.of(name) for name in objects])
    return FileSource(modality, Path(), lines, stamps=dict(zip(objects, stamps, strict=True)))
