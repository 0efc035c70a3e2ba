from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.tables.times.date_columns import DateColumn, read_date_column
from omnivec2.preprocess.formats.tables.times.date_texts import is_time_text

NOON = "2024-12-31T13:00:00"


def moment(text: str) -> str:
    found = read_date_column([text], "when")
    assert isinstance(found, DateColumn), text
    return str(np.datetime64(int(found.seconds[0]), "s"))


@pytest.mark.parametrize(
    "text",
    [
        "2024-12-31 13:00",
        "2024-12-31T13:00:00Z",
        "2024-12-31 13:00:00 UTC",
        "2024-12-31 01:00:00 PM",
        "2024-12-31T14:00+01:00[Europe/Berlin]",
        "2024-12-31 08:00:00.000 -0500",
        "2024-12-31 14:00:00 CET",
        "20241231T130000",
        "2024/12/31 13:00",
        "2024.12.31 13:00",
        "31.12.2024 13:00",
        "31.12.24 13.00 Uhr",
        "12/31/2024 1:00 PM",
        "31-Dec-2024 13:00",
        "31DEC2024 13:00",
        "31. Dezember 2024 13:00",
        "31 décembre 2024 à 13:00",
        "31 de diciembre de 2024 13:00",
        "Dec 31, 2024 1:00 p.m.",
        "Tuesday, December 31st, 2024 at 13:00",
        "Tue, 31 Dec 2024 13:00:00 GMT",
        "Tue Dec 31 13:00:00 UTC 2024",
        "31/Dec/2024:13:00:00 +0000",
        "2024年12月31日 13:00",
        "2024-12-31 13:00:00,000",
        "2024-12-31 13",
        "31.12.2024 13:00 - 31.12.2024 14:00",
    ],
)
def test_a_moment_is_the_same_in_every_spelling(text):
    assert is_time_text(text)
    assert moment(text) == NOON


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02", "2024-02-01"),
        ("02/2024", "2024-02-01"),
        ("Feb-24", "2024-02-01"),
        ("février 2024", "2024-02-01"),
        ("juil. 2024", "2024-07-01"),
        ("2024-Q3", "2024-07-01"),
        ("Q3 2024", "2024-07-01"),
        ("2024-W05", "2024-01-29"),
        ("2024-W05-3", "2024-01-31"),
        ("Jan-70", "1970-01-01"),
    ],
)
def test_months_quarters_and_weeks_are_their_first_day(text, day):
    assert moment(text) == f"{day}T00:00:00"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:01.5", 1.5),
        ("1:05 PM", 47_100),
        ("12:00 AM", 0),
        ("24:00", 86_400),
        ("100:00:00", 360_000),
        ("2 days 00:00:01", 172_801),
        ("12:34.5", 754.5),
        ("13:00-14:00", 46_800),
    ],
)
def test_times_of_day_and_durations_are_seconds(text, seconds):
    found = read_date_column([text], "time")
    assert isinstance(found, DateColumn)
    assert not found.has_dates
    assert found.seconds.tolist() == [seconds]


@pytest.mark.parametrize(
    "text",
    [
        *("31 December", "2024-13-01", "2024-02-30", "99/99/2024", "12-34", "13:61", "25:00 AM"),
        *("1,234.5", "28.9 kW", "10.1.2.24", "1.2.3", "Oslo 2024", "2024-01-01 13:00 XYZ", "16:9"),
        *("2024-W60", "2024-01-01 30:00", "Sample 12, 2024", "-", "5", "1e5", ""),
    ],
)
def test_other_texts_are_no_time(text):
    assert not is_time_text(text)
