"""The unpacked sizes that a Parquet file declares, page by page, before any page is unpacked.

The footer's totals are only claims: readers allocate what each page's own header declares.
So this walks the headers, which are Thrift structs in the compact protocol
(github.com/apache/parquet-format: ``parquet.thrift``, ``Encodings.md``), and sums them.
The pages' content is not read here but by pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omnivec2.errors import TooLargeError, UndecodableError

Struct = dict[int, Any]
"""Field id -> integer, bytes, list or struct. Booleans and doubles are left out."""

MAX_FIELDS = 250_000
"""The largest number of Thrift values in one file; tables within the limits have far fewer."""
MAX_FIELDS_OF_STRUCT = 64
"""The largest number of fields of one struct; those of Parquet have up to 17."""
MAX_CHUNKS = 10_000
"""The largest number of column chunks: columns times row groups."""
MAX_DEPTH = 16

_MAGIC = b"PAR1"
_TAIL = 8
# Thrift compact types.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# Fields of parquet.thrift.
_FILE_ROW_GROUPS = 4
_ROW_GROUP_COLUMNS = 1
_CHUNK_METADATA = 3
_COLUMN_PATH, _COLUMN_VALUES, _COLUMN_SIZE, _COLUMN_DATA, _COLUMN_DICTIONARY = 3, 5, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3
_PAGE_DATA, _PAGE_DATA_V2 = 5, 8
_DATA_VALUES = 1


@dataclass(frozen=True)
class DeclaredSizes:
    """The sums over all pages of the columns that are read."""

    unpacked_bytes: int
    values: int


@dataclass(frozen=True)
class _Chunk:
    """Where the pages of a column chunk lie, and how many values the footer claims for it."""

    start: int
    end: int
    values: int


def declared_sizes(
    data: bytes, most_values: int | None = None, *, nested: bool = False
) -> DeclaredSizes:
    """Sum the sizes that the page headers of a Parquet file declare.

    Every byte is walked at most once, so the time is bounded by the size of the file and by
    :data:`MAX_FIELDS`.

    Args:
        data: The file.
        most_values: The number of values from which on pages are not walked any more.
        nested: Whether columns of lists and structs are read, and so are counted.

    Raises:
        UndecodableError: the file is damaged, or its column chunks overlap.
        TooLargeError: it has too many column chunks, or claims more than ``most_values``.
    """
    footer_size = int.from_bytes(data[-_TAIL:-4], "little")
    start = len(data) - _TAIL - footer_size
    if data[:4] != _MAGIC or data[-4:] != _MAGIC or start < 4:
        raise _damaged()
    reader = _Reader(data)
    chunks = _chunks(reader.struct_at(start, len(data) - _TAIL), start, nested=nested)
    if most_values is not None and sum(chunk.values for chunk in chunks) > most_values:
        raise TooLargeError(
            f"table holds more than {most_values:,} values when decoded", field="inputs"
        )
    unpacked = values = 0
    for chunk in chunks:
        for page in _pages(reader, chunk):
            unpacked += _integer(page.get(_PAGE_UNPACKED))
            for kind in (_PAGE_DATA, _PAGE_DATA_V2):
                if kind in page:
                    values += _integer(_struct(page[kind]).get(_DATA_VALUES))
    return DeclaredSizes(unpacked, values)


def _chunks(footer: Struct, footer_start: int, *, nested: bool) -> list[_Chunk]:
    """Return the chunks of the columns that are read, in the order of the file."""
    chunks: list[_Chunk] = []
    count = 0
    for group in _list(footer.get(_FILE_ROW_GROUPS)):
        columns = _list(_struct(group).get(_ROW_GROUP_COLUMNS))
        count += len(columns)
        if count > MAX_CHUNKS:
            raise TooLargeError(f"table has more than {MAX_CHUNKS:,} column chunks", field="inputs")
        for chunk in columns:
            column = _struct(_struct(chunk).get(_CHUNK_METADATA))
            if len(_list(column.get(_COLUMN_PATH))) == 1 or nested:
                chunks.append(_chunk(column))
    chunks.sort(key=lambda chunk: chunk.start)
    end = len(_MAGIC)
    for found in chunks:
        # Pages that belong to several columns would be walked, and unpacked, for each of them.
        if found.start < end or found.end > footer_start:
            raise _damaged()
        end = max(end, found.end)
    return chunks


def _chunk(column: Struct) -> _Chunk:
    start = _integer(column.get(_COLUMN_DATA))
    dictionary = column.get(_COLUMN_DICTIONARY)
    # Old writers state 0 where there is no dictionary.
    if dictionary:
        start = min(start, _integer(dictionary))
    size = _integer(column.get(_COLUMN_SIZE))
    # A chunk without pages may lie anywhere.
    start = start if size else len(_MAGIC)
    return _Chunk(start, start + size, _integer(column.get(_COLUMN_VALUES, 0)))


def _pages(reader: _Reader, chunk: _Chunk) -> Iterator[Struct]:
    """Yield the headers of a column chunk's pages, which are stored one after the other."""
    position = chunk.start
    while position < chunk.end:
        page = reader.struct_at(position, chunk.end)
        yield page
        position = reader.position + _integer(page.get(_PAGE_PACKED))


class _Reader:
    """Reads structs of the Thrift compact protocol."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self._fields_left = MAX_FIELDS
        self._end = len(data)

    def struct_at(self, position: int, end: int) -> Struct:
        """Read the struct at a position, which ends before another, and move behind it."""
        self.position, self._end = position, end
        return self._struct(0)

    def _struct(self, depth: int) -> Struct:
        found: Struct = {}
        field = 0
        fields_left = MAX_FIELDS_OF_STRUCT
        while header := self._byte():
            kind, step = header & 0x0F, header >> 4
            field = field + step if step else self._zigzag()
            fields_left -= 1
            if fields_left < 0:
                raise _damaged()
            # The value of a boolean field is its type.
            value = None if kind in (_TRUE, _FALSE) else self._value(kind, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, depth: int) -> Any:
        self._fields_left -= 1
        if depth > MAX_DEPTH or self._fields_left < 0:
            raise _damaged()
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _STRUCT:
            return self._struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_TRUE, _FALSE, _BYTE):
            self._byte()
            return None
        if kind == _DOUBLE:
            self._bytes(8)
            return None
        # Parquet's structs hold no maps.
        raise _damaged()

    def _list(self, depth: int) -> list[Any]:
        header = self._byte()
        kind, size = header & 0x0F, header >> 4
        if size == 15:
            size = self._varint()
        # Every element takes at least a byte.
        if size > len(self.data):
            raise _damaged()
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        if not 0 <= self.position < self._end:
            raise _damaged()
        self.position += 1
        return self.data[self.position - 1]

    def _bytes(self, size: int) -> bytes:
        self.position += size
        if self.position > self._end:
            raise _damaged()
        return self.data[self.position - size : self.position]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise _damaged()

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _integer(value: Any) -> int:
    """Check a size or a position."""
    if not isinstance(value, int) or value < 0:
        raise _damaged()
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _damaged()
    return value


def _struct(value: Any) -> Struct:
    if not isinstance(value, dict):
        raise _damaged()
    return value


def _damaged() -> UndecodableError:
    return UndecodableError("not a readable Parquet file", field="inputs")
