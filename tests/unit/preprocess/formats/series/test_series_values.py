from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.series.series_values import last_values
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import read_times
from omnivec2.preprocess.notes import NoteCode, collect_notes

N = 60


def table(rows=None):
    hours = np.arange(N) if rows is None else np.asarray(rows)
    times = np.datetime64("2024-01-01T00", "h") + hours
    return Frame.of({"time": times.astype("datetime64[s]"), "y": hours.astype(float)})


def last(frame, length=10):
    with collect_notes() as notes:
        values = last_values(frame, read_times(frame, "time"), ["y"], length)
    return values[:, 0].tolist(), [note.code for note in notes]


def test_even_rows_are_taken_as_they_are():
    assert last(table()) == (list(map(float, range(50, 60))), [])


def test_rows_in_any_order_are_the_same():
    assert last(table(np.random.default_rng(0).permutation(N))) == last(table())


def test_missing_rows_are_missing_values_and_noted():
    values, codes = last(table(np.delete(np.arange(N), [5, 55])))
    assert np.isnan(values).tolist() == [place == 5 for place in range(10)]
    assert codes == [NoteCode.FILLED]


def test_gaps_long_ago_are_of_no_interest():
    assert last(table(np.delete(np.arange(N), range(5, 20)))) == last(table())


def test_repeated_rows_are_left_out_and_noted():
    assert last(table(np.repeat(np.arange(N), 2))) == (last(table())[0], [NoteCode.DROPPED])


def test_a_time_with_two_values_is_their_mean():
    frame = table([*range(N), 55])
    frame.columns["y"][-1] = 57.0
    values, codes = last(frame)
    assert values[5] == 56
    assert codes == [NoteCode.DROPPED]


def test_many_times_with_several_values_are_refused():
    frame = table(np.repeat(np.arange(N), 2))
    frame.columns["y"][:] = np.arange(2 * N)
    with pytest.raises(InvalidInputError, match=r"share one time.*add the hour.*unique_id"):
        last(frame)


def test_a_value_that_one_of_two_rows_lacks_is_that_of_the_other():
    frame = table([*range(N), 55])
    frame.columns["y"][55] = np.nan
    assert last(frame)[0] == last(table())[0]


def test_irregular_rows_are_interpolated_and_noted():
    times = np.arange(N) * 3600.0 + np.where(np.arange(N) % 2, 900, 0)
    frame = Frame.of({"time_s": times, "y": times / 3600})
    with collect_notes() as notes:
        values = last_values(frame, read_times(frame, "time_s"), ["y"], 10)
    assert np.diff(values[:, 0]) == pytest.approx(1, abs=0.02)
    assert [note.code for note in notes] == [NoteCode.RESAMPLED]


def test_empty_rows_without_a_time_are_left_out():
    frame = table()
    blank = Frame.of(
        {
            "time": np.append(frame.columns["time"], np.datetime64("NaT")),
            "y": np.append(frame.columns["y"], np.nan),
            "note": [None] * (N + 1),
        }
    )
    assert last(blank) == (last(table())[0], [NoteCode.DROPPED])


def test_a_value_without_a_time_is_refused():
    frame = table()
    frame.columns["time"][7] = np.datetime64("NaT")
    with pytest.raises(InvalidInputError, match="row 8: expected a date or time, got none"):
        last(frame)


def test_a_column_without_any_time_is_refused():
    frame = Frame.of({"time": np.full(3, "NaT", "datetime64[s]"), "y": [np.nan] * 3})
    with pytest.raises(InvalidInputError, match="holds no times"):
        last(frame)


def test_without_times_the_last_rows_count():
    frame = table()
    assert last_values(frame, None, ["y"], 3).tolist() == [[57], [58], [59]]
