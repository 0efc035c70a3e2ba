from __future__ import annotations

import math

import pytest

from omnivec2.preprocess.formats.tables.values.number_columns import read_numbers
from omnivec2.preprocess.formats.tables.values.number_text import is_number_text, plain_number


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
        ("2.143,00 €", 2143.0),
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
