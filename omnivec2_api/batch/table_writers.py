"""Tables of answers as files, written part by part: Parquet, CSV, JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import IO, Any, ClassVar

from omnivec2.errors import InvalidParameterError, OmniVecError
from omnivec2_api.batch.columns import Cells, ColumnTypes

Parts = Iterable[Callable[[], IO[bytes]]]
"""Calls that open the parts of a table, in their order."""

_ROW_GROUP_BYTES = 32 * 2**20
_NESTED = frozenset({"json"})


class TableWriter(ABC):
    """Writes parts of a table, and joins them in one file.

    Args:
        columns: The columns and their types.
        facts: The facts about the table, for formats that have a place for them.
    """

    suffix: ClassVar[str]

    def __init__(self, columns: ColumnTypes, facts: Mapping[str, Any]) -> None:
        self._columns, self._facts = columns, facts

    @abstractmethod
    def write_part(self, rows: Sequence[Cells], file: IO[bytes]) -> None:
        """Write some rows as a part; a column that a row lacks is empty."""

    @abstractmethod
    def join(self, parts: Parts, file: IO[bytes]) -> None:
        """Write the whole table, from its parts."""


class CsvWriter(TableWriter):
    """Writes CSV; lists and objects are JSON in their cells."""

    suffix = ".csv"

    def write_part(self, rows: Sequence[Cells], file: IO[bytes]) -> None:
        """Write some rows without a header; see ``TableWriter``."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        for row in rows:
            writer.writerow([_csv_cell(row.get(name)) for name in self._columns])
        file.write(stream.getvalue().encode())

    def join(self, parts: Parts, file: IO[bytes]) -> None:
        """Write the header and all rows; see ``TableWriter``."""
        header = io.StringIO(newline="")
        csv.writer(header).writerow(self._columns)
        _concatenate(header.getvalue().encode(), parts, file)


class JsonLinesWriter(TableWriter):
    """Writes JSON Lines: an object per row."""

    suffix = ".jsonl"

    def write_part(self, rows: Sequence[Cells], file: IO[bytes]) -> None:
        """Write some rows; see ``TableWriter``."""
        lines = [
            json.dumps({name: row.get(name) for name in self._columns}, ensure_ascii=False)
            for row in rows
        ]
        file.write("".join(f"{line}\n" for line in lines).encode())

    def join(self, parts: Parts, file: IO[bytes]) -> None:
        """Write all rows; see ``TableWriter``."""
        _concatenate(b"", parts, file)


class ParquetWriter(TableWriter):
    """Writes Parquet with typed columns; vectors are lists of a fixed size."""

    suffix = ".parquet"

    def __init__(self, columns: ColumnTypes, facts: Mapping[str, Any]) -> None:
        super().__init__(columns, facts)
        try:
            import pyarrow
        except ModuleNotFoundError as error:
            raise OmniVecError(
                "Parquet needs pyarrow: pip install pyarrow, or write .csv or .jsonl"
            ) from error
        types = _arrow_types()
        fields = [
            pyarrow.field(name, types[kind] if kind in types else _vector(kind))
            for name, kind in columns.items()
        ]
        metadata = {"omnivec2": json.dumps(facts, ensure_ascii=False)}
        self._schema = pyarrow.schema(fields, metadata=metadata)
        self._texts = [name for name, kind in columns.items() if kind in _NESTED]

    def write_part(self, rows: Sequence[Cells], file: IO[bytes]) -> None:
        """Write some rows; see ``TableWriter``."""
        import pyarrow
        import pyarrow.parquet

        if self._texts:
            texts = self._texts
            rows = [{**row, **{name: json.dumps(row.get(name)) for name in texts}} for row in rows]
        table = pyarrow.Table.from_pylist(list(rows), schema=self._schema)
        pyarrow.parquet.write_table(table, file)

    def join(self, parts: Parts, file: IO[bytes]) -> None:
        """Write all rows in row groups of some MiB; see ``TableWriter``."""
        import pyarrow
        import pyarrow.parquet

        with pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for open_part in parts:
                with open_part() as part:
                    waiting.append(pyarrow.parquet.read_table(part, schema=self._schema))
                if sum(table.nbytes for table in waiting) >= _ROW_GROUP_BYTES:
                    writer.write_table(pyarrow.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pyarrow.concat_tables(waiting))


WRITERS: Mapping[str, type[TableWriter]] = {
    writer.suffix: writer for writer in (ParquetWriter, CsvWriter, JsonLinesWriter)
}


def writer_for(name: str | PurePath) -> type[TableWriter]:
    """Return the writer of a table, by the end of its name.

    Raises:
        InvalidParameterError: There is none for such names.
    """
    writer = WRITERS.get(PurePath(str(name).partition("?")[0]).suffix.lower())
    if writer is None:
        known = sorted(WRITERS)
        raise InvalidParameterError(
            f"{name}: expected a name that ends in {', '.join(known)}", field="out", known=known
        )
    return writer


def _arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    corners = [(name, pa.int32()) for name in ("xmin", "ymin", "xmax", "ymax")]
    quantile = pa.struct([("level", number), ("values", pa.list_(number))])
    return {
        "string": text,
        "int64": whole,
        "float64": number,
        "json": text,
        "integers": pa.list_(pa.int32()),
        "strings": pa.list_(text),
        "scores": pa.list_(pa.struct([("label", text), ("score", number)])),
        "boxes": pa.list_(pa.struct([("label", text), ("score", number), *corners])),
        "regions": pa.list_(pa.struct([("label", text), ("score", number), ("mask", text)])),
        "notes": pa.list_(
            pa.struct([("code", text), ("field", text), ("count", whole), ("text", text)])
        ),
        "forecasts": pa.list_(
            pa.struct(
                [
                    ("target", text),
                    ("mean", pa.list_(number)),
                    ("quantiles", pa.list_(quantile)),
                ]
            )
        ),
    }


def _vector(kind: str) -> Any:
    import pyarrow as pa

    return pa.list_(pa.float32(), int(kind.removeprefix("vector:")))


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return value


def _concatenate(start: bytes, parts: Parts, file: IO[bytes]) -> None:
    file.write(start)
    for open_part in parts:
        with open_part() as part:
            shutil.copyfileobj(part, file)
