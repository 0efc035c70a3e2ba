"""Rows of tables as the inputs of a batch: records, texts, or paths and contents of files."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality
from omnivec2_api.batch.file_source import PATH_COLUMN, file_stamp
from omnivec2_api.batch.items import NOTHING_SKIPPED, Item, Skipped
from omnivec2_api.batch.object_paths import FilePath, file_path, open_bytes, open_text
from omnivec2_api.input_values import TEXT_MODALITIES, FileValue, JsonInputValue, json_value

ROW_COLUMN = "row"
Meaning = Literal["path", "value"]

PATH_COLUMNS = ("path", "file_name", "filename", "file", "filepath", "file_path")
"""Names of columns that are taken for paths; ``file_name`` is that of Hugging Face's folders."""

VALUE_COLUMNS: Mapping[str, Sequence[str]] = {
    Modality.TEXT: ("text", "sentence", "review", "content", "input", "inputs"),
    Modality.GRAPH: ("smiles", "SMILES", "inchi", "molecule", "input", "inputs"),
}
PAIR_COLUMNS = ("text", "text_pair")

Row = Mapping[str, Any]
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class TableSource:
    """The rows of a table as inputs.

    Attributes:
        path: The table.
        modality: The modality of the inputs.
        column: The column of the input; None if the whole row is a record.
        meaning: Whether the column holds paths, relative to the table, or the inputs themselves.
        keep: The columns that are copied into the table of answers, as text.
        pair: Whether the input is a pair of texts, in the columns ``text`` and ``text_pair``.
    """

    path: FilePath
    modality: str
    column: str | None
    meaning: Meaning
    keep: Sequence[str] = ()
    pair: bool = False

    @property
    def key_columns(self) -> Mapping[str, str]:
        """The number of the row, from 0; its path, if it names a file; columns that are kept."""
        path = {PATH_COLUMN: "string"} if self.meaning == "path" else {}
        return {ROW_COLUMN: "int64", **path, **dict.fromkeys(self.keep, "string")}

    @property
    def has_parts(self) -> bool:
        """No row has parts: they are counted as they are."""
        return False

    @property
    def skipped(self) -> Skipped:
        """No row is skipped."""
        return NOTHING_SKIPPED

    def __len__(self) -> int:
        return sum(1 for _ in read_rows(self.path))

    def __iter__(self) -> Iterator[Item]:
        for number, row in enumerate(read_rows(self.path)):
            kept = {name: _as_text(row.get(name)) for name in self.keep}
            yield self._item(number, row, kept)

    def _item(self, number: int, row: Row, kept: Mapping[str, JsonValue]) -> Item:
        key = {ROW_COLUMN: number, **kept}
        if self.pair:
            pair = {name: json_value(row.get(name)) for name in PAIR_COLUMNS}
            return Item(key, JsonInputValue(pair), repr(pair))
        if self.column is None:
            record = {name: _cell(value) for name, value in row.items()}
            return Item(key, JsonInputValue(record), repr(record))
        cell = row.get(self.column)
        if (content := _file_content(cell)) is not None:
            name = cell.get("path") if isinstance(cell, Mapping) else None
            path = {PATH_COLUMN: name} if self.meaning == "path" else {}
            return Item({**key, **path}, FileValue(content), _digest(content))
        if self.meaning == "path":
            name = str(cell or "")
            path_of_file = file_path(name, self.path.parent)
            stamp = file_stamp(path_of_file)
            return Item({ROW_COLUMN: number, PATH_COLUMN: name, **kept}, path_of_file, stamp)
        return Item(key, JsonInputValue(_cell(cell)), repr(cell))


def open_table(
    path: FilePath,
    modality: str,
    *,
    column: str | None = None,
    meaning: Meaning | None = None,
    keep: Sequence[str] = (),
) -> TableSource | None:
    """Return the source of a table, or None if the file is a single input of its modality.

    Without a column that is named, a table has one of ``PATH_COLUMNS``; of texts and molecules, one
    of ``VALUE_COLUMNS``; each row of other tables is a record, if the modality is ``tabular``. Any
    other file that the modality itself reads, such as a time series in CSV, is one input.

    Args:
        path: The table: CSV, TSV, JSON Lines or Parquet, as a file or an object.
        modality: The modality of the inputs.
        column: The column of the input.
        meaning: Whether it holds paths or the inputs themselves; by default by modality.
        keep: The columns to copy.

    Raises:
        InvalidInputError: The table cannot be read, or has no such column.
    """
    first = next(iter(read_rows(path)), None)
    if first is None:
        raise InvalidInputError(f"{path}: the table has no rows")
    names = list(first)
    for name in (*keep, *([column] if column else [])):
        if name not in names:
            raise InvalidInputError(f"{path}: no column {name!r}; it has {', '.join(names)}")
    if clash := set(keep) & {ROW_COLUMN, PATH_COLUMN}:
        raise InvalidInputError(f"--keep: {', '.join(clash)} is a name of the table of answers")
    if column is None:
        column = _find_column(modality, names, meaning)
    pair = modality == Modality.TEXT and column == "text" and set(PAIR_COLUMNS) <= set(names)
    if column is None and modality != Modality.TABULAR:
        if modality in VALUE_COLUMNS:
            raise InvalidInputError(
                f"{path}: none of its columns ({', '.join(names)}) is known to hold {modality}; "
                "name it: --column NAME"
            )
        return None
    if meaning is None:
        is_value = column is None or (modality in TEXT_MODALITIES and column not in PATH_COLUMNS)
        meaning = "value" if is_value else "path"
    return TableSource(path, modality, column, meaning, tuple(keep), pair)


def _find_column(modality: str, names: Sequence[str], meaning: Meaning | None) -> str | None:
    values = () if meaning == "path" else VALUE_COLUMNS.get(modality, ())
    paths = () if meaning == "value" or modality == Modality.TABULAR else PATH_COLUMNS
    known = [*values, *paths, modality]
    found = next((name for name in known if name in names), None)
    is_only = len(names) == 1 and modality in TEXT_MODALITIES
    return names[0] if found is None and is_only else found


def read_rows(path: FilePath) -> Iterator[Row]:
    """Yield the rows of a table, column -> value; a line of JSON that is no object has ``input``.

    Raises:
        InvalidInputError: The table cannot be read; the message has the line.
    """
    reader = TABLE_READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInputError(
            f"{path}: no table; expected one of {', '.join(sorted(TABLE_READERS))}"
        )
    try:
        yield from _without_empty_end(reader(path))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not text in UTF-8; save the table as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _read_csv(path: FilePath) -> Iterator[Row]:
    with open_text(path, newline="") as file:
        line = file.readline()
        file.seek(0)
        delimiter = max(",;\t|", key=line.count)
        for number, row in enumerate(_long_cells(csv.DictReader(file, delimiter=delimiter)), 2):
            if None in row:
                raise InvalidInputError(f"{path}: row {number} has more cells than the header")
            yield row


def _long_cells(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows whose cells may be of any length.

    The limit is one for the whole process, and readers of inputs rely on it: it is lifted for the
    moment in which a row is read.
    """
    while True:
        limit = csv.field_size_limit(sys.maxsize)
        try:
            row = next(rows)
        except StopIteration:
            return
        finally:
            csv.field_size_limit(limit)
        yield row


def _read_json_lines(path: FilePath) -> Iterator[Row]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InvalidInputError(f"{path}: line {number} is not JSON: {error}") from error
            yield value if isinstance(value, dict) else {"input": value}


def _read_parquet(path: FilePath) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with open_bytes(path) as opened, pyarrow.parquet.ParquetFile(opened) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise InvalidInputError(f"{path}: not a Parquet file: {error}") from error


TABLE_READERS: Mapping[str, Callable[[FilePath], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}


def _without_empty_end(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows without the empty ones behind the last value, as spreadsheets write them."""
    empty: list[Row] = []
    for row in rows:
        if any(cell not in (None, "") for cell in row.values()):
            yield from empty
            empty = []
            yield row
        else:
            empty.append(row)


def _file_content(cell: Any) -> bytes | None:
    """Return the file in a cell: bytes, or an object that holds them, as Hugging Face has it."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _cell(value: Any) -> JsonValue:
    """Return a cell as JSON; an empty one is missing."""
    return None if value == "" else json_value(value)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
