from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import (
    TimeOptions,
    find_time_axis,
    find_time_column,
    is_time_text,
    read_times,
)
from omnivec2.preprocess.notes import NoteCode, collect_notes


@pytest.mark.parametrize(
    "cells",
    [
        ["2020-01-01", "2020-01-02"],
        ["2020-01-01 00:00:00", "2020-01-02 00:00:00"],
        ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"],
        ["2020-01-01T01:00:00+01:00", "2020-01-02T01:00:00+01:00"],
        ["2020/1/1 0:00", "2020/1/2 0:00"],
    ],
)
def test_dates_are_read_in_usual_spellings(cells):
    frame = Frame.of({"value": [1, 2], "when it was": cells})
    assert find_time_column(frame) == "when it was"
    assert read_times(frame, "when it was").values.tolist() == [1577836800, 1577923200]


@pytest.mark.parametrize("name", ["date", "Time", "timestamp", "ds", "time_ms", "Time (s)"])
def test_a_time_column_is_found_by_its_name(name):
    assert find_time_column(Frame.of({"value": [1, 2], name: [1, 2]})) == name


@pytest.mark.parametrize("name", ["dates of birth", "lifetime", "dsp", "target"])
def test_other_names_are_no_time(name):
    assert find_time_column(Frame.of({"value": [1, 2], name: [1, 2]})) is None


def test_a_cell_that_is_no_time_is_refused_with_its_row():
    frame = Frame.of({"date": ["2020-01-01", "yesterday"]})
    with pytest.raises(InvalidInputError, match=r"column 'date', row 2.*'yesterday'"):
        read_times(frame, "date")


def test_a_time_column_is_found_by_its_type_before_its_name():
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    assert find_time_column(Frame.of({"time": [1, 2], "when": days})) == "when"


@pytest.mark.parametrize("cell", [None, 5, "n/a", "12.5", "x" * 80, "31 December"])
def test_cells_of_other_kinds_are_no_time(cell):
    assert not is_time_text(cell)


def test_a_date_after_a_cell_of_another_kind_does_not_hide_it():
    frame = Frame.of({"date": ["2020-01-01", 7, "2020-01-03"]})
    with pytest.raises(InvalidInputError, match="row 2"):
        read_times(frame, "date")


@pytest.mark.parametrize(
    ("cells", "unit"), [([0.0, 1, 2], None), ([1.7e12, 1.7e12 + 1, 1.7e12 + 2], "ms")]
)
def test_numbers_are_seconds_unless_they_are_epochs_of_another_unit(cells, unit):
    axis = read_times(Frame.of({"time": cells}), "time")
    assert axis.unit is None
    assert axis.counts_from_1970 == (unit is not None)
    assert np.diff(axis.seconds) == pytest.approx(0.001 if unit else 1, rel=1e-3)


def test_a_unit_in_the_name_or_stated_is_that_of_the_values():
    frame = Frame.of({"time_ms": [0, 10, 20]})
    assert read_times(frame, "time_ms").values.tolist() == [0, 0.01, 0.02]
    stated = read_times(frame, "time_ms", TimeOptions(time_unit="us"))
    assert stated.values == pytest.approx([0, 1e-5, 2e-5])


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("x", [1.7e9 + 3600 * hour for hour in (3, 1, 2, 0, 4)]),
        ("x", [202401010300, 202401010100, 202401010200, 202401010400]),
        ("t", [4, 3, 2, 1]),
        ("day", [4, 3, 2, 1]),
        ("lead_time", [1, 2, 3, 4]),
    ],
)
def test_numbers_that_look_like_times_are_taken_and_noted(name, cells):
    frame = Frame.of({"load": [0.3, 0.1, 0.7, 0.2, 0.9][: len(cells)], name: cells})
    with collect_notes() as notes:
        assert find_time_column(frame) == name
    assert [note.code for note in notes] == [NoteCode.GUESSED]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("response_time", [0.2, 0.9, 0.1, 0.5]),
        ("x", [5, 4, 3, 2]),
        ("sales", [1.2e9, 1.9e9, 1.21e9, 3.3e9]),
        ("created", ["2024-01-01"] * 4),
        ("ratio", ["16:9", "4:3", "1:1", "2:1"]),
    ],
)
def test_other_columns_are_not(name, cells):
    assert find_time_column(Frame.of({"load": [0.3, 0.1, 0.7, 0.2], name: cells})) is None


def test_any_even_column_is_taken_where_rows_are_known_to_have_times():
    frame = Frame.of({"x": [10, 20, 30, 40], "n": [0, 1, 2, 3]})
    axis = find_time_axis(frame, evenly=True)
    assert axis is not None
    assert axis.columns == ("x",)
    assert find_time_axis(frame.without(["x"]), evenly=True) is None


def test_the_column_that_tells_most_rows_apart_is_taken():
    table = {"date": ["2024-01-01"] * 2 + ["2024-01-02"] * 2, "time_ms": [0, 10, 20, 30]}
    assert find_time_column(Frame.of(table)) == "time_ms"


def test_a_stated_column_is_taken_whatever_it_is_called():
    frame = Frame.of({"date": ["2024-01-01", "2024-01-02"], "n": [2, 1]})
    axis = find_time_axis(frame, TimeOptions(time_column="n"))
    assert axis is not None
    assert axis.columns == ("n",)


def test_times_of_day_go_on_after_midnight():
    frame = Frame.of({"time": ["23:59:59", "00:00:00", "00:00:01"]})
    axis = find_time_axis(frame)
    assert axis is not None
    assert np.diff(axis.values).tolist() == [1, 1]
    assert axis.name == "'time'"
    assert axis.take(np.array([0])).values.tolist() == [86_399]


def test_decimal_commas_are_read_in_times_too():
    axis = find_time_axis(Frame.of({"time_s": ["0,00", "0,02", "0,04"]}))
    assert axis is not None
    assert axis.values == pytest.approx([0, 0.02, 0.04])


def test_a_column_named_as_times_that_holds_none_is_refused():
    with pytest.raises(InvalidInputError, match="expected a date or time, got 'early'"):
        find_time_axis(Frame.of({"time": ["early", "late"], "v": [1, 2]}))
    with pytest.raises(InvalidInputError, match="expected a date or time"):
        find_time_axis(Frame.of({"time": [True, False], "v": [1, 2]}))
