from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.json_reader import read_json
from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet
from omnivec2.preprocess.formats.tables.time_axis import find_time_column, read_seconds
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor
from omnivec2.spec import Limits

DATA = Path(__file__).parents[2] / "data"
LIMITS = Limits(rows=1_000, columns=20, decoded_bytes=2**20)


def written(columns: dict[str, object], **options) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, **options)
    return file.getvalue()


# --- CSV


def test_a_header_is_told_from_data():
    assert list(read_csv(b"a,b\n1,2\n", LIMITS).columns) == ["a", "b"]
    assert list(read_csv(b"1,2\n3,4\n", LIMITS).columns) == ["column 1", "column 2"]
    assert not read_csv(b"2020-01-01,2\n2020-01-02,4\n", LIMITS).named
    assert read_csv(b"date,0,1\n2020-01-01,2,3\n", LIMITS).named


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_are_told_by_the_first_line(delimiter):
    data = delimiter.join("ab").encode() + b"\n" + delimiter.join("12").encode()
    assert list(read_csv(data, LIMITS).columns) == ["a", "b"]


def test_quotes_line_ends_and_blank_lines_are_understood():
    frame = read_csv(b'a,"b, c"\r\n1,"x\r\ny"\r\n\r\n2,z\r\n', LIMITS)
    assert frame.texts("b, c") == ["x\r\ny", "z"]
    assert frame.numbers("a").tolist() == [1, 2]


@pytest.mark.parametrize("line", ["3", "3,4,5"])
def test_rows_of_another_length_are_refused_with_their_line(line):
    with pytest.raises(InvalidInputError, match=r"CSV line 3 has \d fields; expected 2"):
        read_csv(f"a,b\n1,2\n{line}\n5,6\n".encode(), LIMITS)


def test_columns_of_the_same_name_are_refused():
    with pytest.raises(InvalidInputError, match="two columns are named 'a'"):
        read_csv(b"a,a\n1,2\n", LIMITS)


@pytest.mark.parametrize("data", [b'a,b\n"1,2\n', b'a,b\n"1"x,2\n', b"a\n" + b"9" * 200_000])
def test_csv_that_cannot_be_read_is_undecodable(data):
    with pytest.raises(UndecodableError, match="CSV line"):
        read_csv(data, LIMITS)


@pytest.mark.parametrize("data", [b"\n\n", b"a,b\n"])
def test_csv_without_rows_is_refused(data):
    with pytest.raises(InvalidInputError):
        read_csv(data, LIMITS)


@pytest.mark.parametrize("data", [b"," * 5_000_000, b"a,b\n" + b"," * 5_000_000, b"1\n" * 2_000])
def test_csv_over_a_limit_is_refused(data):
    with pytest.raises(TooLargeError):
        read_csv(data, LIMITS)


# --- Parquet


def test_parquet_types_become_numbers_texts_and_times():
    frame = read_parquet(
        written(
            {
                "i": pa.array([1, None], pa.int8()),
                "f": pa.array([1.5, None], pa.float32()),
                "d": pa.array([1, 2], pa.int32()).cast(pa.decimal128(12, 2)),
                "s": ["x", None],
                "b": [True, None],
                "c": pa.array(["u", "v"]).dictionary_encode(),
                "t": pa.array([datetime(2020, 1, 1), None], pa.timestamp("ms")),
                "empty": [None, None],
                "nested": [[1], [2, 3]],
            }
        ),
        LIMITS,
    )
    np.testing.assert_array_equal(frame.numbers("i"), [1, np.nan])
    np.testing.assert_array_equal(frame.numbers("f"), [1.5, np.nan])
    assert frame.numbers("d").tolist() == [1, 2]
    assert frame.texts("s") == ["x", None]
    assert frame.texts("b") == ["true", None]
    assert frame.texts("c") == ["u", "v"]
    assert np.isnan(frame.numbers("empty")).all()
    assert find_time_column(frame) == "t"
    assert "nested" not in frame.columns


def test_parquet_that_declares_too_many_rows_is_refused():
    with pytest.raises(TooLargeError, match="2,000 rows"):
        read_parquet(written({"a": np.zeros(2_000)}), LIMITS)


def test_parquet_that_declares_too_many_columns_is_refused():
    with pytest.raises(TooLargeError, match="30 columns"):
        read_parquet(written({f"c{i}": [1] for i in range(30)}), LIMITS)


def test_parquet_that_unpacks_to_too_much_is_refused():
    data = written({"a": ["x" * 2**22]}, compression="zstd")
    assert len(data) < 10_000
    with pytest.raises(TooLargeError, match="when decoded"):
        read_parquet(data, LIMITS)


def test_many_equal_values_count_as_what_they_take_in_memory():
    wide = Limits(rows=10**6, columns=20, decoded_bytes=2**20)
    with pytest.raises(TooLargeError, match="when decoded"):
        read_parquet(written({"a": np.zeros(10**6)}), wide)


def test_a_long_text_in_every_row_is_kept_in_memory_once():
    text = "x" * 10_000
    frame = read_parquet(written({"a": [text] * 500 + [None]}), LIMITS)
    cells = frame.columns["a"]
    assert cells[0] == text
    assert cells[-1] is None
    assert all(cell is cells[0] for cell in cells[:500])


def test_damaged_parquet_never_raises_anything_but_input_errors():
    data = (DATA / "timeseries" / "hourly.parquet").read_bytes()
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            damaged[at] = int(rng.integers(256))
        try:
            read_parquet(bytes(damaged), LIMITS)
            outcomes.add("read")
        except InputError as error:
            outcomes.add(type(error).__name__)
    assert "UndecodableError" in outcomes


@pytest.mark.parametrize("size", [4, 100, 3_000])
def test_truncated_parquet_is_undecodable(size):
    data = (DATA / "timeseries" / "hourly.parquet").read_bytes()
    with pytest.raises(UndecodableError, match="Parquet"):
        read_parquet(data[:size], LIMITS)


# --- JSON


def test_json_rows_columns_and_lists_give_the_same_values():
    for value in (
        [{"a": 1, "b": 2}, {"a": 3, "b": None}],
        {"a": [1, 3], "b": [2, None]},
        {"table": {"a": [1, 3], "b": [2, None]}},
        [[1, 2], [3, None]],
    ):
        frame = read_json(value, LIMITS, text_numbers=False)
        first, second = frame.columns
        assert frame.numbers(first).tolist() == [1, 3]
        np.testing.assert_array_equal(frame.numbers(second), [2, np.nan])


def test_a_list_of_numbers_is_one_column():
    frame = read_json([1, 2, None], LIMITS, text_numbers=False)
    assert not frame.named
    assert frame.rows == 3


def test_a_string_is_no_number_unless_allowed():
    strict = read_json({"a": [1, "2"]}, LIMITS, text_numbers=False)
    with pytest.raises(InvalidInputError, match=r"column 'a', row 2.*the string '2'"):
        strict.numbers("a")
    assert read_json({"a": [1, "2"]}, LIMITS, text_numbers=True).numbers("a").tolist() == [1, 2]


@pytest.mark.parametrize("value", [[[1], [1, 2]], [[]], [[1], 2], [[[1]]], [{"a": 1}, 3], "x"])
def test_json_that_is_no_table_is_refused(value):
    with pytest.raises(InvalidInputError):
        read_json(value, LIMITS, text_numbers=False)


# --- time


@pytest.mark.parametrize(
    "cells",
    [
        ["2020-01-01", "2020-01-02"],
        ["2020-01-01 00:00:00", "2020-01-02 00:00:00"],
        ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"],
        ["2020-01-01T01:00:00+01:00", "2020-01-02T01:00:00+01:00"],
        ["2020/1/1 0:00", "2020/1/2 0:00"],
    ],
)
def test_dates_are_read_in_usual_spellings(cells):
    frame = Frame.of({"value": [1, 2], "when it was": cells})
    assert find_time_column(frame) == "when it was"
    assert read_seconds(frame, "when it was").tolist() == [1577836800, 1577923200]


@pytest.mark.parametrize("name", ["date", "Time", "timestamp", "ds", "time_ms", "Time (s)"])
def test_a_time_column_is_found_by_its_name(name):
    assert find_time_column(Frame.of({"value": [1, 2], name: [1, 2]})) == name


@pytest.mark.parametrize("name", ["dates of birth", "lifetime", "dsp", "target"])
def test_other_names_are_no_time(name):
    assert find_time_column(Frame.of({"value": [1, 2], name: [1, 2]})) is None


def test_a_cell_that_is_no_time_is_refused_with_its_row():
    frame = Frame.of({"date": ["2020-01-01", "yesterday"]})
    with pytest.raises(InvalidInputError, match=r"column 'date', row 2.*'yesterday'"):
        read_seconds(frame, "date")


# --- the shared base class, through one of its modalities


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"PAR1xxxx", "application/vnd.apache.parquet"),
        (b'\xef\xbb\xbf {"a": [1]}', "application/json"),
        (b"[1, 2]", "application/json"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_content_is_told_by_its_first_bytes(data, media_type):
    assert ImuPreprocessor(ImuParameters()).sniff(data) == media_type


@pytest.mark.parametrize("data", [b"", b" \n", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_table_are_undecodable(data):
    with pytest.raises(UndecodableError):
        ImuPreprocessor(ImuParameters()).decode(data)


def test_other_media_types_are_unsupported():
    with pytest.raises(UnsupportedMediaTypeError, match="CSV, Parquet, JSON"):
        ImuPreprocessor(ImuParameters()).decode(b"x", "application/vnd.ms-excel")
