from __future__ import annotations

import io
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet
from omnivec2.preprocess.formats.tables.time_axis import find_time_column
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

DATA = Path(__file__).parents[4] / "data"
LIMITS = Limits(rows=1_000, columns=20, decoded_bytes=2**20)


def written(columns: dict[str, object], **options) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, **options)
    return file.getvalue()


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


def test_parquet_without_flat_columns_is_invalid():
    with pytest.raises(InvalidInputError, match="table is empty"):
        read_parquet(written({"nested": [[1], [2]]}), LIMITS)


def test_texts_that_are_not_declared_as_such_are_read():
    words = pa.array([b"abc", b"\xc3\xa9", None, b"abc"], pa.binary())
    sink = io.BytesIO()
    parquet.write_table(pa.table({"a": words}), sink)
    assert read_parquet(sink.getvalue(), Limits()).texts("a") == ["abc", "é", None, "abc"]


def test_bytes_that_are_no_text_are_left_out_and_noted():
    sink = io.BytesIO()
    columns = {"a": pa.array([b"\xff\xfe"], pa.binary()), "b": [1.0]}
    parquet.write_table(pa.table(columns), sink)
    with collect_notes() as notes:
        assert list(read_parquet(sink.getvalue(), Limits()).columns) == ["b"]
    assert [note.code for note in notes] == [NoteCode.IGNORED]


def test_times_of_day_are_texts_and_durations_seconds():
    frame = read_parquet(
        written(
            {
                "t": pa.array([time(13, 5), None], pa.time64("us")),
                "d": pa.array([timedelta(seconds=1.5), None], pa.duration("ms")),
            }
        ),
        LIMITS,
    )
    assert frame.texts("t")[0].startswith("13:05:00")
    np.testing.assert_array_equal(frame.numbers("d"), [1.5, np.nan])


def test_columns_that_are_not_read_are_noted():
    nested = {"a": [1.0], "b": [{"x": 1}], "c": [[1.0, 2.0]]}
    with collect_notes() as notes:
        assert list(read_parquet(written(nested), LIMITS).columns) == ["a"]
    (note,) = notes
    assert (note.code, note.count) == (NoteCode.IGNORED, 2)
    lists = read_parquet(written(nested), LIMITS, lists=True)
    assert lists.columns["c"][0].tolist() == [1, 2]
