from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.series.series_json import is_list_of_rows, series_from_json
from omnivec2.preprocess.notes import NoteCode, collect_notes

NUMBERS = [1.0, 2.0, 3.0]


def test_fields_of_gluonts_beside_the_target_are_left_out():
    entry = {"start": "2024-01-01", "freq": "h", "item_id": "A", "target": [1, "NaN", 3]}
    assert series_from_json(entry) == {"target": [1, None, 3]}


def test_covariates_are_noted():
    with collect_notes() as notes:
        value = {"target": NUMBERS, "cat": [0], "feat_dynamic_real": [NUMBERS]}
        assert series_from_json(value) == {"target": NUMBERS}
    (note,) = notes
    assert (note.code, note.count) == (NoteCode.IGNORED, 2)
    assert "covariates" in note.text


def test_a_target_of_several_dimensions_is_several_series():
    assert series_from_json({"target": [NUMBERS, NUMBERS]}) == {
        "target 1": NUMBERS,
        "target 2": NUMBERS,
    }
    with collect_notes() as notes:
        found = series_from_json([{"target": [NUMBERS, NUMBERS], "time": ["2024"]}])
    assert found == {"series 1/target 1": NUMBERS, "series 1/target 2": NUMBERS}
    assert [note.code for note in notes] == [NoteCode.IGNORED]


def test_a_list_of_entries_is_one_column_each():
    entries = [{"item_id": "A", "target": [0.0, *NUMBERS]}, {"target": NUMBERS}]
    assert series_from_json(entries) == {"A": NUMBERS, "series 2": NUMBERS}
    assert series_from_json({"instances": entries}) == {"A": NUMBERS, "series 2": NUMBERS}
    with pytest.raises(InvalidInputError, match="two series are named 'A'"):
        series_from_json([entries[0], entries[0]])


@pytest.mark.parametrize(
    ("keys", "index"),
    [(["0", "1", "2"], [0, 1, 2]), (["2024-01-01", "2024-01-02", "2024-01-03"],) * 2],
)
def test_a_series_of_pandas_is_keyed_by_its_times(keys, index):
    value = dict(zip(keys, NUMBERS, strict=True))
    assert series_from_json(value) == {"index": index, "target": NUMBERS}


@pytest.mark.parametrize("value", [NUMBERS, {"a": NUMBERS}, {"a": 1.0, "b": 2.0}, "x", None, []])
def test_other_forms_stay_as_they_are(value):
    assert series_from_json(value) == value


def test_times_with_values_are_rows_and_long_lists_are_series():
    assert is_list_of_rows([[1, 2]] * 10, 8)
    assert not is_list_of_rows([[1, 2]] * 3, 8)
    assert not is_list_of_rows([NUMBERS * 9] * 10, 8)
    assert not is_list_of_rows([[1, 2], [1]] * 10, 8)
    assert not is_list_of_rows(NUMBERS * 9, 8)
