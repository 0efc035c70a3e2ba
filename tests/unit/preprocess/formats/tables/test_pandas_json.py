from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.json_reader import read_json
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

LIMITS = Limits(rows=5, columns=4)
COLUMNS = {"a": [1, 2], "b": ["x", None]}
ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
FIELDS = [{"name": "index", "type": "integer"}, {"name": "a"}, {"name": "b"}]
FORMS = {
    "list": COLUMNS,
    "records": ROWS,
    "split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, None]]},
    "split without an index": {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]},
    "tight": {
        "columns": ["a", "b"],
        "index": [0, 1],
        "data": [[1, "x"], [2, None]],
        "index_names": [None],
        "column_names": [None],
    },
    "columns": {"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": None}},
    "index": {"0": {"a": 1, "b": "x"}, "1": {"a": 2, "b": None}},
    "table": {
        "schema": {"fields": FIELDS, "primaryKey": ["index"], "pandas_version": "1.4.0"},
        "data": [{"index": i, **row} for i, row in enumerate(ROWS)],
    },
    "gradio": {"headers": ["a", "b"], "data": [[1, "x"], [2, None]], "metadata": None},
    "polars": {"columns": [{"name": "a", "values": [1, 2]}, {"name": "b", "values": ["x", None]}]},
}


def read(value: object, known: tuple[str, ...] = ()) -> Frame:
    return read_json(value, LIMITS, text_numbers=True, known=known)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("known", [(), ("a", "b"), ("B",)])
def test_every_form_of_a_data_frame_gives_the_same_columns(form, known):
    with collect_notes() as notes:
        frame = read(FORMS[form], known)
    assert {name: column.tolist() for name, column in frame.columns.items()} == COLUMNS
    assert not len(notes)


@pytest.mark.parametrize(
    "envelope", ["table", "data", "instances", "dataframe_split", "input_data"]
)
def test_envelopes_of_other_servers_are_opened(envelope):
    for form in ("records", "split"):
        assert read({envelope: FORMS[form]}).numbers("a").tolist() == [1, 2]


def test_a_column_may_be_named_like_an_envelope():
    assert list(read({"data": [1, 2]}).columns) == ["data"]


def test_rows_and_columns_are_told_apart_by_the_names_that_are_expected():
    value = {"age": {"anna": 1, "bert": 2}, "size": {"anna": 3, "bert": 4}}
    assert list(read(value, ("age", "size")).columns) == ["age", "size"]
    swapped = {"anna": {"age": 1, "size": 3}, "bert": {"age": 2, "size": 4}}
    assert list(read(swapped, ("age", "size")).columns) == ["age", "size"]


@pytest.mark.parametrize(
    "labels",
    [[1704067200000, 1704070800000], ["2024-01-01T00:00:00", "2024-01-01T01:00:00"]],
)
def test_an_index_of_times_is_kept(labels):
    split = {"columns": ["a"], "index": labels, "data": [[1], [2]]}
    columns = {"a": {str(label): i for i, label in enumerate(labels)}}
    rows = {str(label): {"a": i} for i, label in enumerate(labels)}
    for value in (split, columns, rows):
        assert list(read(value, ("a",)).columns) == ["time", "a"]


def test_names_of_rows_are_noted_as_unused():
    with collect_notes() as notes:
        read({"columns": ["a"], "index": ["anna", "bert"], "data": [[1], [2]]})
    assert [note.code for note in notes] == [NoteCode.IGNORED]


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["a", "b"], "data": [[1]]},
        {"columns": ["a"], "data": [1, 2]},
        {"columns": ["a", "a"], "data": [[1, 2]]},
        {"columns": ["a"], "index": [0], "data": [[1], [2]]},
        {"a": {"0": 1}, "b": {"1": 2}},
        {"schema": {"fields": []}, "data": [1]},
        {"a": {}, "b": {}},
    ],
)
def test_parts_that_do_not_fit_are_refused(value):
    with pytest.raises(InvalidInputError):
        read(value)


def test_limits_hold_for_every_form():
    with pytest.raises(TooLargeError):
        read({"columns": ["a"], "data": [[1]] * 6})
    with pytest.raises(TooLargeError):
        read({str(i): {"a": 1} for i in range(6)}, ("a",))
    with pytest.raises(TooLargeError):
        read({"columns": list("abcde"), "data": [[1] * 5]})


def test_single_values_beside_columns_are_noted_or_refused():
    with collect_notes() as notes:
        assert list(read({"a": [1], "source": "crm"}, ("a",)).columns) == ["a"]
    assert [(note.code, note.field) for note in notes] == [(NoteCode.IGNORED, "source")]
    with pytest.raises(InvalidInputError, match="others are lists"):
        read({"a": [1], "b": "x"}, ("a", "b"))


def test_nested_columns_that_nobody_reads_are_noted():
    rows = [{"a": 1, "tags": ["x"]}, {"a": 2, "tags": []}]
    with collect_notes() as notes:
        assert list(read(rows, ("a",)).columns) == ["a"]
    assert [note.code for note in notes] == [NoteCode.IGNORED]
    with pytest.raises(InvalidInputError, match="a list"):
        read(rows)


def test_fields_of_later_rows_alone_are_noted():
    with collect_notes() as notes:
        read([{"a": 1}, {"a": 2, "b": 3}])
    assert [(note.code, note.count) for note in notes] == [(NoteCode.IGNORED, 1)]


def test_rows_of_json_lines_may_lack_fields():
    with collect_notes() as notes:
        frame = read_json([{"a": 1}, {"b": 2}], LIMITS, text_numbers=True, absent_is_null=True)
    assert frame.columns["a"].tolist()[0] == 1
    assert list(frame.columns) == ["a", "b"]
    assert [(note.code, note.count) for note in notes] == [(NoteCode.FILLED, 2)]
