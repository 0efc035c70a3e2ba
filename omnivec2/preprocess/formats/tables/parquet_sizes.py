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

from omnivec2.errors import UndecodableError

Struct = dict[int, Any]
"""Field id -> integer, bytes, list or struct. Booleans and doubles are left out."""

MAX_FIELDS = 250_000
"""The largest number of Thrift values in one file; tables within the limits have far fewer."""
MAX_DEPTH = 16

_MAGIC = b"PAR1"
_TAIL = 8
# Thrift compact types.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# Fields of parquet.thrift.
_FILE_ROW_GROUPS = 4
_ROW_GROUP_COLUMNS = 1
_CHUNK_METADATA = 3
_COLUMN_PATH, _COLUMN_SIZE, _COLUMN_DATA, _COLUMN_DICTIONARY = 3, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3
_PAGE_DATA, _PAGE_DATA_V2 = 5, 8
_DATA_VALUES = 1


@dataclass(frozen=True)
class DeclaredSizes:
    """The sums over all pages of the columns that are not nested."""

    unpacked_bytes: int
    values: int


def declared_sizes(data: bytes) -> DeclaredSizes:
    """Sum the sizes that the page headers of a Parquet file declare.

    Raises:
        UndecodableError: the file is damaged.
    """
    footer_size = int.from_bytes(data[-_TAIL:-4], "little")
    start = len(data) - _TAIL - footer_size
    if data[:4] != _MAGIC or data[-4:] != _MAGIC or start < 4:
        raise _damaged()
    reader = _Reader(data)
    unpacked = values = 0
    for column in _flat_columns(reader.struct_at(start)):
        for page in _pages(reader, column):
            unpacked += _integer(page.get(_PAGE_UNPACKED))
            for kind in (_PAGE_DATA, _PAGE_DATA_V2):
                if kind in page:
                    values += _integer(_struct(page[kind]).get(_DATA_VALUES))
    return DeclaredSizes(unpacked, values)


def _flat_columns(footer: Struct) -> Iterator[Struct]:
    for group in _list(footer.get(_FILE_ROW_GROUPS)):
        for chunk in _list(_struct(group).get(_ROW_GROUP_COLUMNS)):
            column = _struct(_struct(chunk).get(_CHUNK_METADATA))
            if len(_list(column.get(_COLUMN_PATH))) == 1:
                yield column


def _pages(reader: _Reader, column: Struct) -> Iterator[Struct]:
    """Yield the headers of a column chunk's pages, which are stored one after the other."""
    position = _integer(column.get(_COLUMN_DATA))
    dictionary = column.get(_COLUMN_DICTIONARY)
    # Old writers state 0 where there is no dictionary.
    if dictionary:
        position = min(position, _integer(dictionary))
    end = position + _integer(column.get(_COLUMN_SIZE))
    if end > len(reader.data):
        raise _damaged()
    while position < end:
        page = reader.struct_at(position)
        yield page
        position = reader.position + _integer(page.get(_PAGE_PACKED))


class _Reader:
    """Reads structs of the Thrift compact protocol."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self._fields_left = MAX_FIELDS

    def struct_at(self, position: int) -> Struct:
        """Read the struct at a position and move ``position`` behind it."""
        self.position = position
        return self._struct(0)

    def _struct(self, depth: int) -> Struct:
        found: Struct = {}
        field = 0
        while header := self._byte():
            kind, step = header & 0x0F, header >> 4
            field = field + step if step else self._zigzag()
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
        if not 0 <= self.position < len(self.data):
            raise _damaged()
        self.position += 1
        return self.data[self.position - 1]

    def _bytes(self, size: int) -> bytes:
        self.position += size
        if self.position > len(self.data):
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
