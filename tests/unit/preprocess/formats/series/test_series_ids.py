from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.series.series_ids import split_series
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.notes import NoteCode, collect_notes

TIMES = np.tile(np.arange(6.0), 2)


def split(table, times=TIMES, **options):
    found = split_series(Frame.of(table), times, **options)
    return found.columns, {series.label: series.rows.tolist() for series in found.series}


@pytest.mark.parametrize("name", ["unique_id", "item_id", "Series ID", "ts_id", "seriesName"])
@pytest.mark.parametrize("ids", [["A"] * 6 + ["B"] * 6, [1] * 6 + [2] * 6])
def test_columns_called_ids_name_the_series(name, ids):
    table = {name: ids, "y": np.arange(12.0)}
    labels = list(dict.fromkeys(map(str, ids)))
    expected = {labels[0]: [0, 1, 2, 3, 4, 5], labels[1]: [6, 7, 8, 9, 10, 11]}
    assert split(table) == ((name,), expected)
    assert split(table, None) == ((name,), expected)


@pytest.mark.parametrize("ids", [["A"] * 6 + ["B"] * 6, [7] * 6 + [3] * 6, ["x", "y"] * 6])
def test_any_column_that_tells_equal_times_apart_is_one_and_noted(ids):
    times = TIMES if ids[0] == ids[1] else np.repeat(np.arange(6.0), 2)
    with collect_notes() as notes:
        columns, found = split({"y": np.arange(12.0) / 7, "shop": ids}, times)
    assert columns == ("shop",)
    assert len(found) == 2
    assert [note.code for note in notes] == [NoteCode.GUESSED]


def test_two_columns_may_tell_series_apart():
    table = {"shop": ["A", "A", "B", "B"] * 3, "item": [1, 2] * 6, "y": np.arange(12.0) / 7}
    columns, found = split(table, np.repeat(np.arange(3.0), 4))
    assert columns == ("shop", "item")
    assert list(found) == ["A/1", "A/2", "B/1", "B/2"]


def test_a_table_of_one_series_stays_whole():
    whole = ((), {None: list(range(12))})
    distinct = np.arange(12.0)
    assert split({"y": np.arange(12.0), "city": ["Oslo"] * 12}, distinct) == whole
    assert split({"y": np.arange(12.0), "city": ["Oslo", "Rome"] * 6}, distinct) == whole
    assert split({"y": np.arange(12.0)}, None) == whole


def test_a_column_of_ids_that_numbers_rows_names_no_series():
    assert split({"id": np.arange(12.0), "y": np.ones(12)}, np.arange(12.0))[0] == ()


def test_values_are_no_ids_whatever_their_name():
    assert split({"series": np.arange(12.0) % 3}, None)[0] == ()
    assert split({"id": np.arange(12) / 7, "y": np.ones(12)}, np.arange(12.0))[0] == ()
    ids = {"unique_id": ["A"] * 6 + ["B"] * 6, "y": np.ones(12)}
    assert split(ids, TIMES, kept=("unique_id", "y"))[0] == ()


def test_times_that_nothing_tells_apart_stay_together():
    assert split({"y": np.arange(12.0) / 7, "note": ["x"] * 12})[0] == ()
