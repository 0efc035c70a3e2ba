"""Times in several columns, found through the time axis of a table."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import find_time_axis

HALF_HOURS = [datetime(2024, 1, 30) + timedelta(minutes=30 * i) for i in range(48 * 4)]
HOURS = HALF_HOURS[::2]


def columns(moments, **forms):
    return {name: [form(moment) for moment in moments] for name, form in forms.items()}


def found(table):
    axis = find_time_axis(Frame.of({**table, "load": [0.5] * len(next(iter(table.values())))}))
    assert axis is not None
    return axis


@pytest.mark.parametrize(
    "forms",
    [
        {"Date": lambda m: f"{m:%d.%m.%Y}", "Time": lambda m: f"{m:%H:%M}"},
        {"time": lambda m: f"{m:%I:%M %p}", "date": lambda m: f"{m:%Y-%m-%d}"},
        {"date": lambda m: f"{m:%Y-%m-%d}", "hour": lambda m: m.hour},
        {"date": lambda m: f"{m:%Y-%m-%d}", "Hour (UTC)": lambda m: m.hour},
        {"Datum": lambda m: f"{m:%d.%m.%Y}", "Stunde": lambda m: m.hour + 1},
        {"date": lambda m: int(f"{m:%Y%m%d}"), "time": lambda m: m.hour * 100},
        {"date": lambda m: f"{m:%Y-%m-%d}", "Interval": lambda m: m.hour + 1},
        {n: lambda m, n=n: getattr(m, n) for n in ("hour", "day", "month", "year")},
        {"date": lambda m: f"{m:%d-%b-%Y}", "span": lambda m: f"{m:%H:00}-{m:%H:59}"},
        {"day": lambda m: np.datetime64(m.date()), "hr": lambda m: m.hour},
    ],
)
def test_a_date_and_an_hour_are_one_time(forms):
    table = columns(HOURS, **forms)
    axis = found(table)
    assert set(axis.columns) == set(forms)
    assert np.diff(axis.values) == pytest.approx(3600)


def test_settlement_periods_count_half_hours():
    table = columns(
        HALF_HOURS,
        SETTLEMENT_DATE=lambda m: f"{m:%Y-%m-%d}",
        SETTLEMENT_PERIOD=lambda m: 2 * m.hour + m.minute // 30 + 1,
    )
    assert np.diff(found(table).values) == pytest.approx(1800)


def test_a_clock_beside_dates_that_differ_is_something_else():
    days = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(30)]
    table = columns(days, date=lambda m: f"{m:%Y-%m-%d}", sunrise=lambda m: f"07:{m.day:02d}")
    assert found(table).columns == ("date",)


def test_years_alone_are_times():
    years = [datetime(year, 1, 1) for year in range(1950, 1990)]
    assert found(columns(years, year=lambda m: m.year)).columns == ("year",)
    assert found(columns(years, year=lambda m: m.year, month=lambda m: 1)).columns[0] == "year"


def test_parts_that_are_no_dates_are_left():
    table = {"year": [2024, 2024, 2025], "month": [1, 13, 2]}
    assert find_time_axis(Frame.of(table)) is None
    assert find_time_axis(Frame.of({"minute": [1, 2, 2], "hour": [1, 99, 3]})) is None
