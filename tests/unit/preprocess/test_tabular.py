from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess import collate, preprocessor_type
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes
from omnivec2.preprocess.tabular import Table, TabularParameters, TabularPreprocessor
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "tabular"
SCHEMA = {
    "columns": [
        {"name": "age", "kind": "number", "mean": 38.6, "std": 13.6},
        {"name": "workclass", "kind": "category", "categories": ["Private", "State-gov"]},
        {"name": "hours-per-week", "kind": "number"},
        {"name": "native-country", "kind": "category", "categories": ["United-States"]},
    ]
}
ROW = {"age": 39, "workclass": "Private", "hours-per-week": 40, "native-country": "Cuba"}


def tabular(limits: Limits | None = None) -> TabularPreprocessor:
    return TabularPreprocessor(TabularParameters.model_validate(SCHEMA), limits)


def arrays(native: Table) -> dict[str, list[Any]]:
    batch = collate(tabular().prepare(native).samples)
    return {name: array.tolist() for name, array in batch.items()}


def test_the_registry_finds_the_tabular_preprocessor():
    assert preprocessor_type(Modality.TABULAR) is TabularPreprocessor


@pytest.mark.parametrize("name", ["adult.csv", "adult.parquet", "adult_table.json"])
def test_every_format_gives_the_same_samples(name):
    found = arrays(tabular().decode((DATA / name).read_bytes()))
    assert found["numbers"][:2] == [[39, 40], [50, 13]]
    assert found["categories"][:3] == [[3, 2], [1, 2], [2, 2]]
    assert found["categories"][4] == [2, 1]
    assert found["categories"][7] == [2, 0]
    assert found["missing"] == [[0, 0]] * 8


def test_arrays_have_the_declared_types_and_shapes():
    (sample,) = tabular().prepare(tabular().decode_json(ROW)).samples
    for spec in tabular().inputs:
        assert sample[spec.name].dtype == spec.dtype
        assert sample[spec.name].shape == spec.shape


def test_the_form_of_the_request_reaches_post_processing():
    table = tabular().decode((DATA / "adult_table.json").read_bytes())
    rows = tabular().decode((DATA / "adult_rows.json").read_bytes())
    assert tabular().prepare(table).context == {"form": "table", "reduce": "each"}
    assert tabular().prepare(rows).context == {"form": "inputs", "reduce": "each"}
    assert len(tabular().prepare(rows).samples) == 3


def test_a_list_of_rows_is_one_input_and_a_list_of_tables_a_batch():
    columns = {name: [value] for name, value in ROW.items()}
    assert tabular().split([ROW, ROW]) is None
    assert tabular().split(columns) is None
    assert tabular().split([[ROW], [ROW, ROW]]) == [[ROW], [ROW, ROW]]
    assert tabular().split([columns, columns]) == [columns, columns]


def test_rows_columns_one_row_and_base64_give_the_same():
    columns = {name: [value] for name, value in ROW.items()}
    text = base64.b64encode(json.dumps(ROW).encode()).decode()
    expected = arrays(tabular().decode_json(ROW))
    for value in ([ROW], columns, {"data": columns}, text):
        assert arrays(tabular().decode_json(value)) == expected


def test_missing_numbers_are_marked_and_missing_categories_have_id_zero():
    row = {"age": None, "workclass": " ? ", "hours-per-week": "", "native-country": None}
    found = arrays(tabular().decode_json([row]))
    assert found == {"numbers": [[0, 0]], "missing": [[1, 1]], "categories": [[0, 0]]}


def test_an_unknown_category_has_id_one():
    assert arrays(tabular().decode_json({**ROW, "workclass": "astronaut"}))["categories"] == [
        [1, 1]
    ]


def test_spaces_around_categories_do_not_matter():
    assert arrays(tabular().decode_json({**ROW, "workclass": " Private "}))["categories"] == [
        [2, 1]
    ]


def test_numbers_may_be_spelled_as_the_hugging_face_client_does():
    assert arrays(tabular().decode_json({**ROW, "age": "39"}))["numbers"] == [[39, 40]]


def test_semicolons_and_an_index_column_are_understood():
    data = b";age;workclass;hours-per-week;native-country\n0;39;Private;40;Cuba\n"
    assert arrays(tabular().decode(data)) == arrays(tabular().decode_json(ROW))


def test_the_bank_sample_is_read():
    schema = {"columns": [{"name": "balance", "kind": "number"}]}
    bank = TabularPreprocessor(TabularParameters.model_validate(schema))
    assert len(bank.prepare(bank.decode((DATA / "bank.csv").read_bytes())).samples) == 5


def test_training_code_can_hand_over_arrays():
    native = Table.of(
        {
            "age": np.array([39.0, np.nan]),
            "workclass": np.array(["Private", "?"]),
            "hours-per-week": np.array([40, 20], np.int16),
            "native-country": ["Cuba", None],
        }
    )
    found = arrays(native)
    assert found["missing"] == [[0, 0], [1, 0]]
    assert found["categories"] == [[2, 1], [0, 0]]


def test_a_missing_column_is_named():
    row = {name: value for name, value in ROW.items() if name != "age"}
    with pytest.raises(InvalidInputError, match="missing column 'age'") as caught:
        tabular().prepare(tabular().decode_json(row))
    assert caught.value.field == "inputs.age"


def test_a_row_that_lacks_a_field_is_named():
    row = {name: value for name, value in ROW.items() if name != "age"}
    with pytest.raises(InvalidInputError, match="row 2 has no 'age'"):
        tabular().decode_json([ROW, row])


def test_other_columns_are_ignored():
    assert arrays(tabular().decode_json({**ROW, "shoe size": 44}))["numbers"] == [[39, 40]]


@pytest.mark.parametrize("bad", ["old", True, "inf", "1_000", "1e300", "4O"])
def test_what_is_no_number_is_refused_with_row_and_column(bad):
    native = tabular().decode_json([ROW, {**ROW, "age": bad}])
    with pytest.raises(InvalidInputError, match="column 'age', row 2: expected a finite number"):
        tabular().prepare(native)


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 10**400])
def test_numbers_beyond_json_are_refused_with_row_and_column(bad):
    with pytest.raises(InvalidInputError, match="column 'age', row 2"):
        tabular().decode_json([ROW, {**ROW, "age": bad}])


def test_nested_values_are_refused():
    with pytest.raises(InvalidInputError, match=r"column 'age', row 1.*an object"):
        tabular().decode_json([{**ROW, "age": {"years": 39}}, ROW])


def test_columns_of_different_lengths_are_refused():
    columns = {name: [value] for name, value in ROW.items()}
    with pytest.raises(InvalidInputError, match="column 'workclass' has 2 values"):
        tabular().decode_json({**columns, "workclass": ["a", "b"]})


def test_a_table_without_a_header_is_refused():
    with pytest.raises(InvalidInputError, match="missing columns 'age'"):
        tabular().prepare(tabular().decode(b"39,40,1,2\n50,60,3,4\n"))


@pytest.mark.parametrize("value", [[], {}, 3, None, True, [{}], {"age": []}, {"table": []}])
def test_json_that_is_no_table_is_refused(value):
    with pytest.raises(InvalidInputError):
        tabular().prepare(tabular().decode_json(value))


def test_rows_over_the_limit_are_refused():
    with pytest.raises(TooLargeError, match="at most 2"):
        tabular(Limits(rows=2)).decode_json([ROW] * 3)
    with pytest.raises(TooLargeError, match="2 rows"):
        tabular(Limits(rows=2)).decode((DATA / "adult.csv").read_bytes())


def test_a_schema_without_columns_or_with_categories_of_a_number_is_invalid():
    for columns in ([], [{"name": "a", "kind": "number", "categories": ["x"]}]):
        with pytest.raises(ValidationError):
            TabularParameters.model_validate({"columns": columns})


def test_a_table_without_rows_is_refused_also_in_memory():
    empty = Table.of({name: [] for name in ROW})
    with pytest.raises(InvalidInputError, match="table is empty"):
        tabular().prepare(empty)


def test_compressed_tables_and_files_within_json_may_expand_and_others_not() -> None:
    assert tabular().may_expand((DATA / "adult.parquet").read_bytes())
    assert tabular().may_expand("UEFSMQ==")
    assert not tabular().may_expand((DATA / "adult.csv").read_bytes())
    assert not tabular().may_expand({"age": [39]})


def notes_on(value: Any) -> list[Note]:
    with collect_notes() as notes:
        native = (
            tabular().decode(value) if isinstance(value, bytes) else tabular().decode_json(value)
        )
        tabular().prepare(native)
    return list(notes)


KNOWN = {**ROW, "native-country": "United-States"}


def test_a_table_that_is_understood_has_no_notes():
    assert not notes_on(KNOWN)
    assert not notes_on([KNOWN] * 3)
    assert not notes_on({**dict(reversed(KNOWN.items())), "workclass": "state-GOV"})


@pytest.mark.parametrize(
    ("change", "code", "field", "words"),
    [
        ({"native-country": "Atlantis"}, NoteCode.UNKNOWN_CATEGORY, "native-country", "Atlantis"),
        ({"native-country": "United-Statse"}, NoteCode.UNKNOWN_CATEGORY, "native-country", "mean"),
        ({"shoe size": 44}, NoteCode.IGNORED, None, "'shoe size'"),
        ({"age": None}, NoteCode.FILLED, "age", "'age' (1)"),
        ({"workclass": "?"}, NoteCode.FILLED, "workclass", "'workclass' (1)"),
        ({"age": 1984}, NoteCode.UNUSUAL, "age", "mean 38.6"),
        ({"age": "39 years"}, NoteCode.IGNORED, "age", "unit 'years'"),
        ({"age": "1,039"}, NoteCode.GUESSED, "age", "decimal"),
    ],
)
def test_what_is_not_understood_is_noted(change, code, field, words):
    notes = [note for note in notes_on({**KNOWN, **change}) if note.code is code]
    assert [(note.field, note.count) for note in notes] == [(field, 1)]
    assert words in notes[0].text


def test_rows_with_the_same_remark_are_counted():
    (note,) = notes_on([{**KNOWN, "workclass": name} for name in ("x", "Private", "x", "y")])
    assert (note.code, note.count) == (NoteCode.UNKNOWN_CATEGORY, 3)
    assert "known are Private, State-gov" in note.text


def test_columns_are_found_under_other_spellings():
    row = {"AGE": 39, "Work Class": "Private", "Hours per week": 40, "native_country": "Cuba"}
    assert arrays(tabular().decode_json(row)) == arrays(tabular().decode_json(ROW))
    units = {**KNOWN, "age (years)": 39}
    del units["age"]
    assert [(note.code, note.field) for note in notes_on(units)] == [(NoteCode.GUESSED, "age")]


def test_columns_that_are_ambiguous_are_refused():
    rows = [{"Age": 39, "AGE": 40, "workclass": "x", "hours-per-week": 1, "native-country": "x"}]
    with pytest.raises(InvalidInputError, match="missing column 'age'"):
        tabular().prepare(tabular().decode_json(rows))


def test_a_name_that_is_close_to_a_missing_one_is_shown():
    rows = [{**{n: v for n, v in KNOWN.items() if n != "workclass"}, "wrkclass": "Private"}]
    with pytest.raises(InvalidInputError, match="is 'wrkclass' meant"):
        tabular().prepare(tabular().decode_json(rows))


def test_rows_without_names_say_how_to_send_names():
    with pytest.raises(InvalidInputError, match=r"no names.*'split'"):
        tabular().prepare(tabular().decode(b"39,1,40,2\n50,1,13,2\n"))


def test_truth_values_are_numbers_where_training_rows_held_0_and_1():
    columns = [{"name": "flag", "kind": "number", "mean": 0.3, "std": 0.46}]
    head = TabularPreprocessor(TabularParameters.model_validate({"columns": columns}))
    samples = head.prepare(head.decode_json([{"flag": True}, {"flag": "False"}, {"flag": None}]))
    assert [sample["numbers"].tolist() for sample in samples.samples] == [[1], [0], [0]]
    assert [sample["missing"].tolist() for sample in samples.samples] == [[0], [0], [1]]


def test_rows_in_which_every_cell_is_missing_are_noted_as_empty():
    empty = dict.fromkeys(KNOWN)
    codes = {note.code: note.count for note in notes_on([KNOWN, empty, empty])}
    assert codes == {NoteCode.FILLED: 8, NoteCode.EMPTY: 2}


def test_rows_of_mostly_unknown_words_are_noted_as_empty():
    columns = [
        {"name": "age", "kind": "number"},
        *({"name": n, "kind": "category", "categories": ["a", "b"]} for n in ("x", "y")),
    ]
    head = TabularPreprocessor(TabularParameters.model_validate({"columns": columns}))
    rows = [
        {"age": 1, "x": "a", "y": "b"},
        {"age": 1, "x": "nie", "y": "gesehen"},
        {"age": 1, "x": "nie", "y": "b"},
        {"age": None, "x": None, "y": "nie"},
    ]
    with collect_notes() as notes:
        head.prepare(head.decode_json(rows))
    (empty,) = [note for note in notes if note.code is NoteCode.EMPTY]
    assert empty.count == 1
    assert "more than half of all cells" in empty.text


def test_no_number_is_unusual_without_statistics():
    assert not notes_on({**KNOWN, "hours-per-week": 1e12})
