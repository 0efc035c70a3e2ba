from __future__ import annotations

import math

import numpy as np
import pytest

from omnivec2.preprocess.formats.tables.values.number_text import (
    common_decimal,
    is_number_text,
    plain_number,
    read_numbers,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("1.234.567", 1234567.0),
        ("1,234,567", 1234567.0),
        ("1 234,5", 1234.5),
        ("1\u00a0234\u202f567,25", 1234567.25),
        ("1'234.5", 1234.5),
        ("1’234’567", 1234567.0),
        ("€ 28,90", 28.9),
        ("$1,234.50", 1234.5),
        ("-$5.25", -5.25),
        ("CHF 1'000.50", 1000.5),
        ("12,50 EUR", 12.5),
        ("28.9 kW", 28.9),
        ("28,9kW", 28.9),
        ("9.81 m/s²", 9.81),
        ("21.5 °C", 21.5),
        ("12.5 %", 12.5),
        ("(1,234.50)", -1234.5),
        ("−5,5", -5.5),
        ("+3,5", 3.5),
        ("1,5e3", 1500.0),
        (",5", 0.5),
        (" 7 ", 7.0),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    found = read_numbers([text])
    assert found.wrong is None
    assert found.guessed is None
    assert found.values.tolist() == [number]
    assert is_number_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "old",
        "1_000",
        "inf",
        "-Infinity",
        "4O",
        "12.05.2024",
        "192.168.1.1",
        "1,23,4",
        "1,2345,678",
        "12:30",
        "5 apples",
        "1.2k",
        "3M",
        "4B",
        "SKU 123",
        "0x1F",
        "1 2 3",
        "--5",
        "(5",
        "5)",
        "9" * 60 + ",5",
        "true",
    ],
)
def test_other_texts_are_no_numbers(text):
    assert read_numbers([text]).wrong == 0


@pytest.mark.parametrize(
    "mark",
    [
        "na",
        "?",
        "NA",
        "n/a",
        "NaN",
        "null",
        "None",
        "#N/A",
        "<NA>",
        "-",
        "--",
        "NaT",
        "\\N",
        ".",
        "#VALUE!",
        "(null)",
        "—",
        "missing",
        "1.#QNAN",
        " ",
        "",
    ],
)
def test_marks_of_missing_values_are_missing(mark):
    number = plain_number(mark)
    assert number is not None
    assert math.isnan(number)
    assert not is_number_text(mark)


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
