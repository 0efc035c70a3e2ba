from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import (
    find_time_column,
    is_time_text,
    read_times,
)


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
