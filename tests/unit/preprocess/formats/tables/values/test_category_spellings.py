from __future__ import annotations

import pytest

from omnivec2.preprocess.formats.tables.values.category_spellings import CategorySpellings

MONTHS = ["apr", "aug", "dec", "feb", "jan", "jul", "jun", "mar", "may", "nov", "oct", "sep"]


def read(categories: list[str], *texts: str | None) -> list[str]:
    """The categories that texts are read as; "missing" and "unknown" for the others."""
    found = CategorySpellings(categories, 2, 0, 1).ids(list(texts))
    return [["missing", "unknown", *categories][index] for index in found.ids]


@pytest.mark.parametrize("text", ["Male", "male", "MALE", " male ", "'Male'", "Ｍale", "male."])
def test_case_spaces_and_quotes_do_not_matter(text):
    assert read(["Female", "Male"], text) == ["Male"]


@pytest.mark.parametrize("text", ["self emp inc", "Self_Emp-Inc", "SELF-EMP-INC", "self–emp inc"])
def test_hyphens_underscores_and_spaces_are_equal(text):
    assert read(["Self-emp-inc", "Private"], text) == ["Self-emp-inc"]


@pytest.mark.parametrize("text", ["5", "05", "5.0", "5.", "+5", "5e0", "005.00"])
def test_a_number_is_one_category_however_it_is_written(text):
    assert read(["15", "5"], text) == ["5"]


def test_signs_keep_numbers_apart():
    assert read(["1"], "-1") == ["unknown"]
    assert read(["<=50K", ">50K"], ">50k", "50K") == [">50K", "unknown"]


@pytest.mark.parametrize(
    ("true", "false"), [("yes", "no"), ("Y", "N"), ("1", "0"), ("true", "false")]
)
def test_truth_values_are_found_by_their_meaning(true, false):
    for yes, no in [("True", "False"), ("yes", "no"), ("y", "n"), ("1.0", "0"), ("ja", "nein")]:
        assert read([false, true], yes, no) == [true, false]


def test_truth_values_mean_nothing_among_other_categories():
    assert read(["no", "maybe", "perhaps"], "False") == ["unknown"]
    assert read(["a", "b", "c", "no", "yes"], "True") == ["unknown"]


@pytest.mark.parametrize("text", ["May", "MAY", "5", "05", "may."])
def test_months_are_found_by_name_and_number(text):
    assert read(MONTHS, text) == ["may"]


def test_long_and_short_names_of_months_and_days_are_equal():
    assert read(MONTHS, "September", "sept", "Sep") == ["sep"] * 3
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    assert read(days, "Mon", "thurs", "SUN", "5") == ["monday", "thursday", "sunday", "unknown"]


def test_categories_that_differ_in_case_alone_stay_apart():
    assert read(["a", "A"], "A", "a") == ["A", "a"]
    assert read(["ab", "AB"], "Ab") == ["unknown"]


def test_missing_marks_are_missing_unless_they_are_categories():
    assert read(["x"], None, "?", "NaN", "#N/A") == ["missing"] * 4
    assert read(["?", "none"], "?", "None") == ["?", "none"]


def test_what_was_found_on_the_way_is_told():
    found = CategorySpellings(["no", "yes"], 2, 0, 1).ids(["True", "True", "so", "so", None, "yes"])
    assert found.read_as == {"True": "yes"}
    assert dict(found.unknown) == {"so": 2}
    assert found.missing == 1


def test_exact_spellings_are_looked_up_at_once():
    spellings = CategorySpellings(["a", "b"], 2, 0, 1)
    assert spellings.exact_ids(["b", "a"]) == [3, 2]
    assert spellings.exact_ids(["b", "A"]) is None
    assert spellings.exact_ids(["b", None]) is None
