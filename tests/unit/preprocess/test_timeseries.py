from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import preprocessor_type
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
