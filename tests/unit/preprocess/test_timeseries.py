from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.timeseries import Series, TimeseriesParameters, TimeseriesPreprocessor
from omnivec2.spec import Modality

DATA = Path(__file__).parents[2] / "data" / "timeseries"
NUMBERS = [float(i) for i in range(10)]


def series(**parameters) -> TimeseriesPreprocessor:
    return TimeseriesPreprocessor(TimeseriesParameters(**parameters))


def short(**parameters) -> TimeseriesPreprocessor:
    return series(context_length=4, **parameters)


def values(native: Series) -> list[list[float]]:
    return [sample["values"].tolist() for sample in short().prepare(native).samples]


def test_the_registry_finds_the_time_series_preprocessor():
    assert preprocessor_type(Modality.TIMESERIES) is TimeseriesPreprocessor


@pytest.mark.parametrize("name", ["hourly.csv", "hourly.parquet"])
def test_every_numeric_column_of_a_file_is_a_series(name):
    prepared = series().prepare(series().decode((DATA / name).read_bytes()))
    assert prepared.context == {"names": ["load", "temperature"], "reduce": "each"}
    for sample in prepared.samples:
        assert sample["values"].shape == (336,)
        assert sample["values"].dtype == np.float32


def test_a_json_file_holds_one_series():
    prepared = series().prepare(series().decode((DATA / "hourly.json").read_bytes()))
    csv = series().prepare(series().decode((DATA / "hourly.csv").read_bytes()))
    assert prepared.context["names"] == ["target"]
    np.testing.assert_array_equal(prepared.samples[0]["values"], csv.samples[0]["values"])


@pytest.mark.parametrize(
    "value",
    [NUMBERS, {"target": NUMBERS}, {"target": NUMBERS, "start": "2020-01-01", "freq": "h"}],
)
def test_one_series_comes_as_a_list_or_under_target(value):
    native = short().decode_json(value)
    assert short().split(value) is None
    assert native.names == ("target",)
    assert values(native) == [[6, 7, 8, 9]]


def test_a_request_body_may_be_sent_as_a_file():
    assert values(short().decode(b'{"inputs": [1, 2, 3, 4, 5]}')) == [[2, 3, 4, 5]]


def test_several_series_keep_their_names():
    native = short().decode_json({"a": NUMBERS, "b": NUMBERS[::-1]})
    assert native.names == ("a", "b")
    assert values(native) == [[6, 7, 8, 9], [3, 2, 1, 0]]


def test_a_list_of_series_is_a_batch_and_a_list_of_rows_is_not():
    assert short().split([NUMBERS, NUMBERS]) == [NUMBERS, NUMBERS]
    assert short().split([{"target": NUMBERS}]) == [{"target": NUMBERS}]
    assert short().split([{"a": 1.0, "b": 2.0}] * 5) is None


def test_rows_are_ordered_by_their_time():
    rows = [{"date": f"2020-01-{10 - i:02d}", "a": float(i)} for i in range(6)]
    assert values(short().decode_json(rows)) == [[3, 2, 1, 0]]
    csv = "a,time\n" + "".join(f"{i},{-i}\n" for i in range(6))
    assert values(short().decode(csv.encode())) == [[3, 2, 1, 0]]


def test_columns_of_the_head_are_taken_and_others_left():
    native = short(columns=("b",)).decode_json({"a": NUMBERS, "b": NUMBERS, "c": ["x"] * 10})
    assert native.names == ("b",)
    with pytest.raises(InvalidInputError, match="missing column 'b'"):
        short(columns=("b",)).decode_json({"a": NUMBERS})


def test_text_columns_are_no_series():
    assert short().decode(b"a,city\n" + b"1,Oslo\n" * 5).names == ("a",)


def test_too_few_values_are_refused_with_what_is_needed():
    with pytest.raises(InvalidInputError, match=r"10 values are too few.*last 336"):
        series().prepare(series().decode_json(NUMBERS))


def test_a_few_missing_values_are_interpolated():
    assert values(short().decode_json([1, 2, None, 4])) == [[1, 2, 3, 4]]
    assert values(short().decode(b"a\n1\n2\nNaN\n4\n")) == [[1, 2, 3, 4]]


def test_many_missing_values_are_refused_and_the_series_named():
    native = short().decode_json({"load": [1, None, None, 4]})
    with pytest.raises(InvalidInputError, match="series 'load' lacks 2 of its last 4") as caught:
        short().prepare(native)
    assert caught.value.field == "inputs.load"


def test_a_column_of_nothing_is_refused():
    with pytest.raises(InvalidInputError, match="lacks 4"):
        short().prepare(short().decode(b"a,b\n" + b"1,\n" * 5))


def test_what_is_no_number_is_refused_with_its_row_in_the_file():
    csv = "a\n" + "".join(f"{i}\n" for i in range(8)) + "oops\n9\n"
    with pytest.raises(InvalidInputError, match=r"column 'a', row 9.*'oops'"):
        short().decode(csv.encode())


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        3,
        None,
        ["a", "b", "c", "d"],
        ["1", "2", "3", "4"],
        {"target": ["1"] * 5},
        {"target": [[1]] * 5},
        [1, 2, 3, float("nan")],
        [1, 2, 3, float("inf")],
        [1, 2, 3, 1e300],
        [True, False] * 3,
        [1, 2, "3", 4],
    ],
)
def test_json_that_is_no_series_is_refused(value):
    with pytest.raises(InvalidInputError):
        short().prepare(short().decode_json(value))


def test_infinite_arrays_are_refused():
    with pytest.raises(InvalidInputError, match="not finite"):
        short().prepare(Series.of({"a": np.array([1, 2, 3, np.inf])}))


def test_a_table_of_times_alone_has_no_series():
    with pytest.raises(InvalidInputError, match="no column holds numbers"):
        short().decode(b"date\n2020-01-01\n2020-01-02\n")


def notes_of(value: object) -> list[NoteCode]:
    with collect_notes() as notes:
        native = short().decode(value) if isinstance(value, bytes) else short().decode_json(value)
        short().prepare(native)
    return [note.code for note in notes]


def test_a_table_in_long_format_is_one_series_per_id():
    rows = [
        {"unique_id": i, "ds": f"2020-01-0{d}", "y": d + n}
        for n, i in ((0, "A"), (5, "B"))
        for d in range(1, 7)
    ]
    native = short().decode_json(rows)
    assert native.names == ("A", "B")
    assert values(native) == [[3, 4, 5, 6], [8, 9, 10, 11]]
    assert short().decode_json([{**row, "z": 1.0} for row in rows]).names == (
        *("A/y", "A/z"),
        *("B/y", "B/z"),
    )
    assert short().decode_json(rows[:6]).names == ("y",)


def test_a_table_whose_units_count_their_cycles_is_one_series_per_unit():
    rows = [f"{unit},{cycle},{unit}.{cycle:02}" for unit in (1, 2) for cycle in range(1, 11)]
    native = short().decode("\n".join(["unit,cycle,pressure", *rows]).encode())
    assert native.names == ("1", "2")
    assert values(native) == [
        pytest.approx([1.07, 1.08, 1.09, 1.10]),
        pytest.approx([2.07, 2.08, 2.09, 2.10]),
    ]


def test_a_series_that_is_too_short_is_named():
    csv = b"unique_id,ds,y\n" + b"".join(b"A,2020-01-0%d,1\n" % d for d in range(1, 8))
    with pytest.raises(InvalidInputError, match="series 'B': 2 values are too few"):
        short().decode(csv + b"B,2020-01-01,2\nB,2020-01-02,3\n")


def test_a_constant_series_is_told_from_the_others():
    prepared = short().prepare(Series.of({"a": np.arange(9.0), "b": np.full(9, 3.0)}))
    assert prepared.context["location"] == [0.0, 3.0]
    assert prepared.context["scale"] == [1.0, 0.0]
    assert all(np.isfinite(sample["values"]).all() for sample in prepared.samples)
    ordinary = short().prepare(Series.of({"a": np.arange(9.0)}))
    assert ordinary.context == {"names": ["a"], "reduce": "each"}


def test_pairs_of_times_and_values_are_one_series():
    pairs = [[1.7e12 + 3.6e6 * hour, float(hour)] for hour in range(9)]
    assert short().split(pairs) is None
    assert values(short().decode_json(pairs[::-1])) == [[5, 6, 7, 8]]


def test_json_lines_hold_rows_or_series():
    rows = b'{"ds": "2020-01-02", "y": 2}\n{"ds": "2020-01-01", "y": 1}\n' * 1
    rows += b'{"ds": "2020-01-03", "y": 3}\n{"ds": "2020-01-04", "y": 4}\n'
    assert values(short().decode(rows)) == [[1, 2, 3, 4]]
    lines = b'{"item_id": "A", "target": [1, 2, 3, 4]}\n{"target": [5, 6, 7, "NaN", 9]}\n'
    native = short().decode(lines)
    assert native.names == ("A", "series 2")
    assert values(native) == [[1, 2, 3, 4], [6, 7, 8, 9]]


def test_what_is_left_out_or_filled_in_is_noted():
    assert notes_of(b"a,city\n" + b"1,Oslo\n2,Rome\n" * 3) == [NoteCode.IGNORED]
    assert notes_of([1, 2, None, 4]) == [NoteCode.FILLED]
    assert notes_of({"target": [1.0, 2, 3, 4], "cat": [0]}) == [NoteCode.IGNORED]
    assert notes_of({"id": list(range(5)), "v": [3.0, 1, 4, 1, 5]}) == [NoteCode.IGNORED]
    assert notes_of([1.0, 2, 3, 4]) == []


def test_a_date_that_cannot_be_read_is_called_a_date():
    with pytest.raises(InvalidInputError, match="expected a date or time, got 'Q1'") as caught:
        short().decode(b"date,v\nQ1,1\nQ2,2\nQ3,3\nQ4,4\n")
    assert "number" not in str(caught.value)
