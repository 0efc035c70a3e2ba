from __future__ import annotations

import numpy as np

from omnivec2.preprocess.formats.tables.values.number_columns import common_decimal, read_numbers


def test_one_clear_number_tells_how_the_column_is_written():
    assert read_numbers(["1.234", "0,5"]).values.tolist() == [1234.0, 0.5]
    assert read_numbers(["1,234", "0.5"]).values.tolist() == [1234.0, 0.5]
    assert read_numbers(["1,234", "5,678,901"]).values.tolist() == [1234.0, 5678901.0]


def test_a_column_that_can_be_read_both_ways_is_guessed():
    found = read_numbers(["1,234", "5"])
    assert (found.values.tolist(), found.guessed) == ([1234.0, 5.0], ".")
    found = read_numbers(["1,234", "5"], guess=",")
    assert (found.values.tolist(), found.guessed) == ([1.234, 5.0], ",")


def test_a_stated_decimal_mark_is_no_guess():
    found = read_numbers(["1,234"], ",")
    assert (found.values.tolist(), found.guessed) == ([1.234], None)
    assert read_numbers(["1.234"], ",").values.tolist() == [1234.0]
    assert read_numbers(["12.5"], ",").wrong == 0


def test_points_alone_are_decimal_points():
    found = read_numbers(["1.234", "2.345 kg".replace(" kg", "")])
    assert (found.values.tolist(), found.guessed) == ([1.234, 2.345], None)


def test_a_column_mixes_neither_decimal_marks_nor_units():
    assert "mixes decimal" in read_numbers(["0.5", "0,5"]).reason
    found = read_numbers(["5 kW", "5 W"])
    assert (found.wrong, found.reason) == (1, "the column mixes units: 'W' and 'kW'")
    assert "none" in read_numbers(["5", "5 kW"]).reason
    assert read_numbers(["5 kW", "", "7 kW"]).unit == "kW"


def test_numbers_and_texts_may_stand_in_one_column():
    found = read_numbers([1, 2.5, "3,5", None, "#N/A", np.float64(4)])
    np.testing.assert_array_equal(found.values, [1, 2.5, 3.5, np.nan, np.nan, 4])
    assert read_numbers([True]).wrong == 0


def test_columns_of_numbers_show_the_decimal_mark_of_a_table():
    assert common_decimal([["0,5", "1"], ["1.234"]], otherwise=".") == ","
    assert common_decimal([["a, b"], ["1,234"]], otherwise=".") == "."
    assert common_decimal([["0,5"], ["0.5"]], otherwise=".") == "."
    assert common_decimal([["1,234"]], otherwise=",") == ","


def test_a_long_column_of_decimal_commas_is_read_like_its_cells():
    cells = ["0,5", "-12,25", "7", "", " 3,125 ", "1,234"]
    found = read_numbers(cells)
    np.testing.assert_array_equal(found.values, [0.5, -12.25, 7, np.nan, 3.125, 1.234])
    assert found.guessed is None
    assert read_numbers(["0,5", "inf"]).wrong == 1
    assert read_numbers(["0,5", "x"]).wrong == 1
    assert read_numbers(["0,5", None]).values[0] == 0.5


def test_a_long_column_of_one_unit_is_read_like_its_cells():
    found = read_numbers(["28.5 kW", "7kW", "", "-1e3 kW"])
    np.testing.assert_array_equal(found.values, [28.5, 7, np.nan, -1000])
    assert found.unit == "kW"
    assert read_numbers(["5 kW", "kW"]).wrong == 1
    assert read_numbers(["5 kW", "1_0 kW"]).wrong == 1
    assert read_numbers(["5 kW", "inf kW"]).wrong == 1
    assert read_numbers(["5 kW", "1,5 kW"]).values.tolist() == [5, 1.5]
