"""Dates and times of day in text, taken apart cell by cell.

A text such as ``31-Dec-2024 1:05 PM`` names its parts and is read at once. ``01/02/2024`` does
not say which number is the month: it stays in three numbers until the whole column is seen (see
:mod:`~omnivec2.preprocess.formats.tables.times.date_columns`).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Any, NamedTuple

MAX_TIME_CHARACTERS = 64
"""A longer cell is no time."""

_CENTURY_TURN = 69
"""Years of two digits below it are those of 20xx, others of 19xx, as POSIX has it."""

_MONTHS = (
    "jan january janvier ene enero gen gennaio janeiro",
    "feb fev fevrier febrero febbraio",
    "mar marz mrz mars marzo marco mrt maart",
    "apr avr april avril abr abril",
    "may mai mayo mag maggio maio mei",
    "jun june juin",
    "jul july juil",
    "aug aout ago agosto",
    "sep set sept",
    "oct okt ott out octobre octubre outubro",
    "nov",
    "dec dez dic des",
)
"""The beginnings of the months' names in English, German, French, Spanish, Italian, Portuguese
and Dutch, without accents; longer ones are found by their first letters."""

_MONTH_OF = {word: month for month, words in enumerate(_MONTHS, 1) for word in words.split()}

_ZONE_HOURS = {
    **{"z": 0, "utc": 0, "gmt": 0, "wet": 0, "bst": 1, "west": 1, "cet": 1, "mez": 1, "cest": 2},
    **{"mesz": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9, "kst": 9, "aest": 10, "aedt": 11},
    **{"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7},
}
"""Abbreviations of time zones -> hours east of Greenwich, in their most common meaning."""

_WORD = r"[^\W\d_]"
_CLOCK = r"(?P<hour>\d{1,2})(?:[:.hH](?P<minute>\d{2}))?"
_SECONDS = r"(?:[:.m](?P<second>\d{2})(?:[.,:](?P<fraction>\d{1,9}))?)?s?"
_HALF = r"(?:\s?(?P<half>[AaPp])\.?\s?[Mm]\.?)?(?:\s?Uhr)?"
_ZONE = (
    r"(?:\s?(?P<zone>[+-]\d{2}(?::?\d{2})?|(?:UTC|GMT)[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]{1,5}))?"
    r"(?:\s?\[[^\]]{1,40}\])?"
)
_COMPACT = r"(?P<digits>\d{4}(?:\d{2})?)(?:[.,](?P<digits_fraction>\d{1,9}))?"
_AFTER_DATE = (
    rf"(?:(?:\s*[T,:]\s*|\s+(?:at |um |à )?)(?:{_COMPACT}|{_CLOCK}{_SECONDS}{_HALF}){_ZONE})?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_MONTH_NAME = rf"(?P<month>{_WORD}{{3,12}})\.?"

_DATES = (
    rf"(?P<year>\d{{4}})(?P<mark>[-/._ ])(?P<month>\d{{1,2}}|{_WORD}{{3,12}}\.?)(?P=mark)"
    r"(?P<day>\d{1,2})",
    r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{4}|\d{2})",
    rf"{_DAY}[-/ ]?\s?(?:de )?{_MONTH_NAME},?[-/ ]?\s?(?:de )?'?(?P<year>\d{{4}}|\d{{2}})",
    rf"{_MONTH_NAME}[-/ ]\s?{_DAY},?[-/ ]\s?(?P<year>\d{{4}})",
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
    r"(?P<year>\d{4})\s?[年년]\s?(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일]",
    r"(?P<year>\d{4})-?W(?P<week>\d{2})(?:-?(?P<weekday>[1-7]))?",
)
_MONTHS_ALONE = (
    rf"(?P<year>\d{{4}})[-/ ](?P<month>\d{{1,2}}|{_WORD}{{3,12}})",
    r"(?P<month>\d{1,2})[-/](?P<year>\d{4})",
    rf"{_MONTH_NAME},?[-/ ]\s?'?(?P<year>\d{{4}})",
    rf"{_MONTH_NAME}[-/]'?(?P<year>\d{{2}})",
    r"(?P<year>\d{4})[-/ ]?Q(?P<quarter>[1-4])",
    r"Q(?P<quarter>[1-4])[-/ ]\s?(?P<year>\d{4})",
)
_ALONE = (
    # ctime: Wed Jan  3 13:00:00 UTC 2024
    rf"{_MONTH_NAME}\s+(?P<day>\d{{1,2}})\s+{_CLOCK}{_SECONDS}{_ZONE}\s+(?P<year>\d{{4}})",
    # Times of day and durations; a minute and a tenth of a second is what Excel shows.
    r"(?:(?P<days>-?\d{1,6}) days?,?\s+)?(?P<hour>\d{1,3}):(?P<minute>\d{2})"
    rf"(?::(?P<second>\d{{2}})(?:[.,](?P<fraction>\d{{1,9}}))?)?{_HALF}{_ZONE}",
    r"(?P<minute>\d{1,3}):(?P<second>\d{2})[.,](?P<fraction>\d{1,9})",
)
_WEEKDAY = rf"(?:{_WORD}{{2,10}}\.?,?\s+)?"
_PATTERNS = tuple(
    re.compile(_WEEKDAY + pattern)
    for pattern in (
        *(date_pattern + _AFTER_DATE for date_pattern in _DATES),
        *_MONTHS_ALONE,
        *_ALONE,
    )
)


_INTERVAL = re.compile(
    r"(\S.{3,30}?)\s+(?:-|–|—|/|to|bis|until)\s+(.{3,30}\S)|(\d{1,2}:\d{2})[-–](\d{1,2}:\d{2})"
)
"""An interval, such as the market time units of electricity; it counts by its start."""


class TimeParts(NamedTuple):
    """A text taken apart.

    Attributes:
        layout: The meaning of the numbers: ``"ymd"``: year, month and day; ``"abc"``: those of a
            date as they are written; ``"clock"``: no date, ``first`` counts days.
        first: The first number.
        second: The second number.
        third: The third number.
        seconds: The seconds since midnight UTC; since local midnight if no time zone is given.
        clock: Whether the text has a time of day.
        short_year: Whether the third number of ``"abc"`` is a year of two digits.
    """

    layout: str
    first: int
    second: int
    third: int
    seconds: float = 0.0
    clock: bool = False
    short_year: bool = False


class TimeTexts:
    """Takes texts of one column apart; they mostly have the form of the one before."""

    def __init__(self) -> None:
        self._last = _PATTERNS[0]

    def split(self, cell: Any) -> TimeParts | None:
        """Return the parts of a text; None if it is no date, time or month."""
        if not isinstance(cell, str) or len(cell) > MAX_TIME_CHARACTERS:
            return None
        text = cell.strip()
        if (interval := _INTERVAL.fullmatch(text)) is not None:
            start, stop = (self.split(end) for end in interval.groups() if end)
            return start if stop is not None else None
        for pattern in (self._last, *_PATTERNS):
            match = pattern.fullmatch(text)
            if match is not None and (parts := _parts(match.groupdict())) is not None:
                self._last = pattern
                return parts
        return None


def is_time_text(cell: Any) -> bool:
    """Whether a cell is text that spells a date, a month or a time of day."""
    if not isinstance(cell, str) or not any(character.isdigit() for character in cell):
        return False
    return not _is_number(cell) and TimeTexts().split(cell) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parts(found: dict[str, str | None]) -> TimeParts | None:
    seconds = _seconds(found)
    if seconds is None:
        return None
    clock = bool(found.get("hour") or found.get("digits") or found.get("minute"))
    if (first := found.get("a")) is not None:
        second, third = found["b"] or "", found["c"] or ""
        if max(int(first), int(second)) > 31 and len(third) == 4:
            return None
        short = len(third) == 2
        return TimeParts("abc", int(first), int(second), int(third), seconds, clock, short)
    if (year_text := found.get("year")) is None:
        return TimeParts("clock", int(found.get("days") or 0), 0, 0, seconds, True)
    year = full_year(int(year_text)) if len(year_text) == 2 else int(year_text)
    if (week := found.get("week")) is not None:
        return _week(year, int(week), int(found.get("weekday") or 1), seconds, clock)
    quarter = found.get("quarter")
    month = 3 * int(quarter) - 2 if quarter else _month(found.get("month") or "")
    day = int(found.get("day") or 1)
    if month is None or not is_date(year, month, day):
        return None
    return TimeParts("ymd", year, month, day, seconds, clock)


def _week(year: int, week: int, weekday: int, seconds: float, clock: bool) -> TimeParts | None:
    try:
        monday = date.fromisocalendar(year, week, weekday)
    except ValueError:
        return None
    return TimeParts("ymd", monday.year, monday.month, monday.day, seconds, clock)


def full_year(year: int) -> int:
    """Return the year that two digits stand for."""
    return year + (2000 if year < _CENTURY_TURN else 1900)


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _month(text: str) -> int | None:
    if text.isdigit():
        return int(text) if 1 <= int(text) <= 12 else None
    plain = unicodedata.normalize("NFKD", text.rstrip(".").casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    # "juin" and "juillet" differ in their fourth letter only.
    return _MONTH_OF.get(plain) or _MONTH_OF.get(plain[:4]) or _MONTH_OF.get(plain[:3])


def _seconds(found: dict[str, str | None]) -> float | None:
    """Return seconds since midnight UTC; None if there is no such time or zone."""
    if digits := found.get("digits"):
        hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:] or 0)
        fraction = found.get("digits_fraction")
    else:
        hour, minute, second = (int(found.get(n) or 0) for n in ("hour", "minute", "second"))
        fraction = found.get("fraction")
    if half := found.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    of_day = found.get("year") is not None or found.get("a") is not None
    if minute > 59 or second > 60 or (of_day and hour > 24):
        return None
    offset = _zone_hours(found.get("zone"))
    if offset is None:
        return None
    fraction_seconds = float(f"0.{fraction}") if fraction else 0.0
    return 3600.0 * (hour - offset) + 60.0 * minute + second + fraction_seconds


def _zone_hours(zone: str | None) -> float | None:
    """Return the hours east of Greenwich; None if the zone is not known."""
    if not zone:
        return 0.0
    text = zone.lower()
    if text in _ZONE_HOURS:
        return float(_ZONE_HOURS[text])
    number = text.removeprefix("utc").removeprefix("gmt").replace(":", "")
    if number[:1] not in ("+", "-"):
        return None
    digits = number[1:]
    hours, minutes = int(digits[:-2] or 0), int(digits[-2:])
    if len(digits) <= 2:
        hours, minutes = int(digits), 0
    return (hours + minutes / 60.0) * (-1.0 if number[0] == "-" else 1.0)
