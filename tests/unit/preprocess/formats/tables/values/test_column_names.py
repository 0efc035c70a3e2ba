from __future__ import annotations

import pytest

from omnivec2.preprocess.formats.tables.values.column_names import match_names, split_unit


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc_x (m/s²)", ("acc_x", "m/s²")),
        ("speed [km/h]", ("speed", "km/h")),
        ("weight_kg", ("weight", "kg")),
        ("Age in years", ("Age", "years")),
        ("balance (EUR)", ("balance", "EUR")),
        ("age", ("age", "")),
        ("capital-gain", ("capital-gain", "")),
        ("acc_x", ("acc_x", "")),
    ],
)
def test_a_unit_in_a_name_is_split_off(name, expected):
    assert split_unit(name) == expected


def test_names_are_matched_whatever_their_case_and_punctuation():
    there = ["Capital Gain", "AGE", "hours_per_week", "note"]
    assert match_names(["capital-gain", "age", "hours-per-week", "sex"], there) == {
        "capital-gain": "Capital Gain",
        "age": "AGE",
        "hours-per-week": "hours_per_week",
    }


def test_the_exact_name_comes_first_and_units_last():
    assert match_names(["age"], ["Age", "age"]) == {"age": "age"}
    assert match_names(["age"], ["age (years)", "Age"]) == {"age": "Age"}
    assert match_names(["age"], ["age (years)"]) == {"age": "age (years)"}


def test_names_that_fit_several_columns_match_none():
    assert match_names(["age"], ["Age", "AGE"]) == {}
    assert match_names(["a-b", "a_b"], ["A B"]) == {}
    assert match_names(["-"], ["_"]) == {}
