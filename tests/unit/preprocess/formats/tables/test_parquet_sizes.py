from __future__ import annotations

import io
import time

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet
from omnivec2.preprocess.formats.tables.parquet_sizes import MAX_CHUNKS, declared_sizes
from omnivec2.spec import Limits


def written(columns: dict[str, object], **options) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def varint(number: int) -> bytes:
    """A non-negative number as Thrift's compact protocol spells it."""
    number, parts = number * 2, []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def with_a_lying_footer(data: bytes, truth: int) -> bytes:
    """The file with a number in its footer replaced by a small one of the same length."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    true = varint(truth)
    lie = bytes([0x80 | 2, *[0x80] * (len(true) - 2), 0])
    assert true in data[start:]
    return data[:start] + data[start:].replace(true, lie)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_every_page_is_counted_whatever_the_writer_chose(version, compression, use_dictionary):
    columns = {"a": np.arange(5_000.0), "b": np.arange(5_000)}
    data = written(
        columns,
        compression=compression,
        use_dictionary=use_dictionary,
        data_page_version=version,
        data_page_size=4_096,
        row_group_size=2_000,
    )
    sizes = declared_sizes(data)
    assert sizes.values == 10_000
    assert 80_000 <= sizes.unpacked_bytes <= 130_000


def test_nested_columns_are_not_counted_because_they_are_not_read():
    assert declared_sizes(written({"a": [1.0, 2.0], "b": [[1] * 50, [2]]})).values == 2


def test_a_page_larger_than_the_footer_says_is_refused():
    data = written(
        {"a": ["x" * 2**23]}, compression="zstd", use_dictionary=False, write_statistics=False
    )
    honest = parquet.read_metadata(io.BytesIO(data)).row_group(0).total_byte_size
    lying = with_a_lying_footer(data, honest)
    assert parquet.read_metadata(io.BytesIO(lying)).row_group(0).total_byte_size < 1_000
    with pytest.raises(TooLargeError, match="when decoded"):
        read_parquet(lying, Limits(rows=10, columns=10, decoded_bytes=2**20))


def test_more_values_than_the_footer_says_rows_are_refused():
    data = written({"a": np.zeros(10**6)}, row_group_size=10**6)
    lying = with_a_lying_footer(data, 10**6)
    with pytest.raises(TooLargeError, match="when decoded"):
        read_parquet(lying, Limits(rows=10, columns=10, decoded_bytes=2**20))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"PAR1" + b"\0" * 50,
        b"PAR1" + b"\x19" * 40 + b"\x28\0\0\0PAR1",
        b"PAR1" + b"\x1c" * 400 + b"\x90\1\0\0PAR1",
        b"PAR1" + b"\xff" * 40 + b"\x28\0\0\0PAR1",
        b"PAR1" + b"\xff\xff\xff\x7fPAR1",
    ],
)
def test_what_is_no_parquet_file_is_undecodable(data):
    with pytest.raises(UndecodableError):
        declared_sizes(data)


def footer(content: bytes) -> bytes:
    """A file of a footer alone, spelled in Thrift's compact protocol."""
    return b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1"


def column_chunk(path: bytes, *numbers: bytes) -> bytes:
    """A footer of one row group of one column: path, size (field 7) and data position (9)."""
    size, data = numbers
    metadata = b"\x39" + path + b"\x46" + size + b"\x26" + data + b"\0"
    chunk = b"\x3c" + metadata + b"\0"
    return b"\x49\x1c" + b"\x19\x1c" + chunk + b"\0" + b"\0"


@pytest.mark.parametrize(
    "content",
    [
        column_chunk(b"\x18\x01a", varint(1_000), varint(4)),  # behind the end of the file
        column_chunk(b"\x18\x01a", b"\x01", varint(4)),  # a negative size
        b"\x48\x01a\0",  # text where the row groups belong
        b"\x49\x15\x02\0",  # numbers where structs belong
        b"\x1b\x00\0",  # a map
        b"\x16" + b"\xff" * 11,  # an endless number
        b"\x18\xff\x7f",  # text longer than the file
        b"\x19\xf8\xff\xff\x7f",  # a list longer than the file
        b"\x1c" * 20,  # structs nested too deep
    ],
)
def test_footers_that_make_no_sense_are_undecodable(content):
    with pytest.raises(UndecodableError):
        declared_sizes(footer(content))


def test_fields_of_no_interest_are_skipped():
    rest = b"\x11" + b"\x12" + b"\x13\x07" + b"\x17" + bytes(8) + b"\x19\x21\1\1" + b"\x1a\x15\2"
    assert declared_sizes(footer(b"\x49\x0c" + rest + b"\0")).values == 0


def test_a_footer_of_very_many_values_is_undecodable(monkeypatch):
    monkeypatch.setattr("omnivec2.preprocess.formats.tables.parquet_sizes.MAX_FIELDS", 10)
    with pytest.raises(UndecodableError):
        declared_sizes(footer(b"\x15\2" * 20 + b"\0"))


def file_of_chunks(content: bytes, chunks: list[tuple[int, int]]) -> bytes:
    """A file of some bytes and a footer of columns that claim them: start and size of each."""
    columns = b"".join(
        b"\x3c" + b"\x39\x18\x01a" + b"\x46" + varint(size) + b"\x26" + varint(start) + b"\0\0"
        for start, size in chunks
    )
    count = (
        b"\x19\xfc" + length(len(chunks))
        if len(chunks) > 14
        else bytes([0x19, len(chunks) * 16 + 12])
    )
    group = count + columns + b"\0"
    footer = b"\x49\x1c" + group + b"\0"
    return b"PAR1" + content + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def length(number: int) -> bytes:
    """The length of a list as Thrift spells it."""
    return bytes([number & 0x7F | 0x80, number >> 7]) if number > 0x7F else bytes([number])


PAGE = b"\x15\0\x15\0\x15\0\0"
"""The header of an empty page."""


def test_column_chunks_of_their_own_bytes_are_walked():
    assert declared_sizes(file_of_chunks(PAGE * 3, [(4, 7), (11, 14)])).values == 0


@pytest.mark.parametrize(
    "chunks", [[(4, 7), (4, 7)], [(4, 14), (11, 7)], [(0, 7)], [(4, 1_000)], [(4, 7)] * 400]
)
def test_column_chunks_that_overlap_each_other_or_the_footer_are_damage(chunks):
    with pytest.raises(UndecodableError):
        declared_sizes(file_of_chunks(PAGE * 3, chunks))


def test_a_page_header_must_end_within_its_chunk():
    with pytest.raises(UndecodableError):
        declared_sizes(file_of_chunks(PAGE * 3, [(4, 5)]))


@pytest.mark.parametrize("value", [b"\x11", b"\x12", b"\x15\0"])
def test_a_struct_of_millions_of_fields_is_refused_at_once(value):
    content = value * 1_000_000 + b"\0"
    started = time.thread_time()
    with pytest.raises(UndecodableError):
        declared_sizes(file_of_chunks(content, [(4, len(content))]))
    with pytest.raises(UndecodableError):
        declared_sizes(footer(content))
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("kind", [0x11, 0x12, 0x15, 0x1C])
def test_a_list_of_millions_of_values_is_refused_soon(kind):
    content = b"\x19" + bytes([kind | 0xF0]) + b"\x80\x89\x7a" + b"\0" * 2_000_000
    started = time.thread_time()
    with pytest.raises(UndecodableError):
        declared_sizes(footer(content))
    assert time.thread_time() - started < 5


def test_too_many_column_chunks_are_refused():
    with pytest.raises(TooLargeError, match="column chunks"):
        declared_sizes(file_of_chunks(b"", [(4, 0)] * (MAX_CHUNKS + 1)))


def test_values_that_the_footer_claims_are_compared_before_pages_are_walked():
    data = written({"a": np.zeros(1_000)})
    assert declared_sizes(data, 1_000).values == 1_000
    with pytest.raises(TooLargeError, match="when decoded"):
        declared_sizes(data, 999)


def test_columns_of_lists_are_counted_where_they_are_read():
    data = written({"a": [[1.5] * 50_000] * 20})
    assert declared_sizes(data).values == 0
    assert declared_sizes(data, nested=True).values == 1_000_000
    limits = Limits(rows=100, columns=10, decoded_bytes=2**20)
    with pytest.raises(TooLargeError, match="when decoded"):
        read_parquet(data, limits, lists=True)
