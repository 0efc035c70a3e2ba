from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame, column_from_json, to_column


def test_missing_values_are_nan_in_numbers_and_none_in_texts():
    frame = Frame.of({"a": ["1", " ", "NA", "2.5"]})
    np.testing.assert_array_equal(frame.numbers("a"), [1, np.nan, np.nan, 2.5])
    assert frame.texts("a") == ["1", None, "NA", "2.5"]
    np.testing.assert_array_equal(Frame.of({"a": ["1", None]}).numbers("a"), [1, np.nan])


def test_cells_become_text_as_people_write_them():
    cells = [True, False, 3.0, 2.5, float("nan"), None, " x ", b"y"]
    texts = ["true", "false", "3", "2.5", None, None, "x", "b'y'"]
    assert Frame.of({"a": cells}).texts("a") == texts


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("oops", "'oops'"),
        ("1_000", "'1_000'"),
        (True, "a boolean"),
        ("9" * 400, "inf"),
        ("x" * 100, "…"),
        (1e16, "1e[+]16, which is beyond 1e[+]15"),
    ],
)
def test_a_cell_that_is_no_finite_number_is_quoted_with_its_row(cell, shown):
    frame = Frame.of({"a": np.array(["1", cell], dtype=object)})
    with pytest.raises(InvalidInputError, match=f"column 'a', row 2: .*{shown}"):
        frame.numbers("a")


def test_rows_keep_their_numbers_when_some_are_taken():
    frame = Frame.of({"a": ["1", "2", "x", "4"]}).take(np.array([1, 2, 3])).take(np.array([1, 2]))
    assert frame.rows == 2
    with pytest.raises(InvalidInputError, match="row 3"):
        frame.numbers("a")


def test_dates_are_no_numbers():
    frame = Frame.of({"day": np.array(["2020-01-01"], dtype="datetime64[D]")})
    assert frame.columns["day"].dtype.kind == "M"
    assert not frame.is_numeric("day")
    with pytest.raises(InvalidInputError, match="'day' holds dates"):
        frame.numbers("day")


def test_a_column_is_numeric_if_it_holds_a_number_or_nothing():
    columns = {"a": ["x", "1"], "b": ["?", ""], "c": ["x", "y"], "d": [1, 2]}
    frame = Frame.of(columns)
    assert [frame.is_numeric(name) for name in columns] == [True, True, False, True]
    strict = Frame(frame.columns, text_numbers=False)
    assert not strict.is_numeric("a")


def test_missing_columns_are_named_with_those_that_are_there():
    frame = Frame.of({"a": [1], "b": [2]})
    frame.require(["a"])
    with pytest.raises(InvalidInputError, match="missing columns 'x', 'y'; the table has 'a', 'b'"):
        frame.require(["x", "y"])
    with pytest.raises(InvalidInputError, match="the table has no names"):
        Frame(frame.columns, named=False).require(["x"])
    assert list(frame.without(["a"]).columns) == ["b"]
    assert Frame({}).rows == 0


def test_arrays_of_any_kind_become_columns():
    assert to_column(np.array([1, 2], np.int8)).dtype == np.float64
    assert to_column(np.array(["a", "b"])).tolist() == ["a", "b"]
    assert to_column([None, 1]).tolist() == [None, 1]


@pytest.mark.parametrize("cell", [{}, [], 10**400])
def test_json_cells_that_no_column_can_hold_are_refused_with_their_row(cell):
    with pytest.raises(InvalidInputError, match="column 'a', row 2"):
        column_from_json([1, cell], "a")


def test_json_nulls_are_missing_numbers():
    np.testing.assert_array_equal(column_from_json([1, None], "a"), [1, np.nan])
    assert column_from_json([True, None], "a").tolist() == [True, None]
