from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet
from omnivec2.preprocess.formats.tables.parquet_sizes import declared_sizes
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
