from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.times.date_columns import DateColumn, read_date_column
from omnivec2.preprocess.notes import NoteCode, collect_notes

HOURS = [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in range(24 * 11)]
MONTHS = [date(2020 + month // 12, month % 12 + 1, 1) for month in range(40)]


def seconds(cells, order=None):
    found = read_date_column(cells, "date", order=order)
    assert isinstance(found, DateColumn)
    return found.seconds.tolist()


def expected(moments):
    return [
        (datetime.fromisoformat(str(m)) - datetime(1970, 1, 1)).total_seconds() for m in moments
    ]


@pytest.mark.parametrize("form", ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%y %H:%M"])
def test_a_day_beyond_the_twelfth_tells_the_order(form):
    days = [HOURS[0] + timedelta(days=day) for day in range(40)]
    with collect_notes() as notes:
        assert seconds([day.strftime(form) for day in days]) == expected(days)
    assert form.endswith("%y %H:%M") or not list(notes)


@pytest.mark.parametrize("form", ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%y-%m-%d %H:%M"])
def test_even_spacing_tells_the_order_and_is_noted(form):
    with collect_notes() as notes:
        assert seconds([hour.strftime(form) for hour in HOURS]) == expected(HOURS)
    assert [note.code for note in notes] == [NoteCode.GUESSED]


def test_months_are_evenly_spaced_too():
    assert seconds([month.strftime("%d/%m/%Y") for month in MONTHS]) == expected(MONTHS)
    assert seconds([month.strftime("%m/%d/%Y") for month in MONTHS]) == expected(MONTHS)


def test_nobody_writes_the_month_first_before_a_dot():
    assert seconds(["01.02.2024", "02.03.2024"]) == expected(["2024-02-01", "2024-03-02"])


def test_dates_that_can_be_read_in_two_ways_are_refused_with_both():
    cells = ["05/05/2024", "01/02/2024", "03/07/2024"]
    with pytest.raises(InvalidInputError, match=r"1 February 2024 \('dmy'\) or 2 January 2024"):
        seconds(cells)
    assert seconds(cells, "dmy")[1] == expected(["2024-02-01"])[0]
    assert seconds(cells, "mdy")[1] == expected(["2024-01-02"])[0]


def test_the_order_does_not_matter_within_one_day():
    found = seconds(["01/05/2024 00:00:00.01", "01/05/2024 00:00:00.02"])
    assert np.diff(found) == pytest.approx(0.01, abs=1e-6)


def test_missing_cells_are_nan():
    assert np.isnan(seconds(["31/12/2024", None])[1])
    assert np.isnan(seconds(["2024-12-31", None])[1])


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["2024-12-31", "soon"], 1),
        (["2024-12-31", "13:00"], 1),
        (["31/12/2024", "12/31/2024"], 1),
        ([None, None], 0),
    ],
)
def test_the_first_cell_that_is_no_date_is_told(cells, row):
    assert read_date_column(cells, "date") == row


def test_a_common_time_zone_is_read_at_once():
    cells = [f"{hour:%Y-%m-%d %H:%M:%S}+00:00" for hour in HOURS]
    assert seconds(cells) == expected(HOURS)
