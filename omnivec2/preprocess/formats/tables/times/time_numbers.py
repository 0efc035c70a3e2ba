"""Times that are numbers: what their column's name says of them, and what their size says."""

from __future__ import annotations

import re
from typing import Literal, get_args

import numpy as np

from omnivec2.preprocess.formats.tables.frame import FloatColumn

TimeUnit = Literal["s", "ms", "us", "ns", "min", "h", "d"]
"""The units of times that a caller can state."""

PER_SECOND: dict[str, float] = {
    **{"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9},
    **{"min": 1 / 60, "h": 1 / 3600, "d": 1 / 86_400},
}
"""Unit -> how many of it are a second."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_UNIT_WORDS = {
    "s": "s sec secs second seconds sek sekunde sekunden seconde secondes segundos secondi",
    "ms": "ms msec msecs milli millis millisec millisecond milliseconds millisekunden",
    "us": "us µs μs usec usecs micro micros microsecond microseconds mikrosekunden",
    "ns": "ns nsec nsecs nano nanos nanosecond nanoseconds nanosekunden",
    "min": "min mins minute minutes minuten",
    "h": "h hr hrs hour hours stunden",
    "d": "d day days tage",
}
_UNIT_OF = {word: unit for unit, words in _UNIT_WORDS.items() for word in words.split()}
_SPELLED_UNITS = frozenset(word for word in _UNIT_OF if len(word) > 3)
_LONG_UNITS = frozenset({"min", "h", "d"})

_TIME_WORDS = word_set(
    "date datetime time timestamp timestamps timestep ts ds epoch unix unixtime posix elapsed "
    "datum zeit uhrzeit zeitstempel zeitpunkt datumzeit messzeit fecha hora tiempo heure temps "
    "horodatage tijd tijdstip tijdstempel czas tid dato tidspunkt aika pvm zaman tarih utc gmt "
    "orario tempo kellonaika sensortime"
)
_PLAIN_WORDS = word_set(
    "local since start boot begin from of in the system sensor sample sampling device event "
    "recorded recording measured measurement at iso abs absolute rel relative log logger logging "
    "stamp und and et y host arrival server record received on index frame packet"
)
"""Words beside a time word in the name of a time column; others make it something else."""

_COUNTED_WORDS = word_set(
    "day week month quarter year hour minute period step tick cycle interval index idx row round"
)
"""Names of columns that may well count the steps of a series."""

_EPOCH_FIRST, _EPOCH_LAST = 9.4e8, 4.2e9
"""The seconds since 1970 of October 1999 and of February 2103."""

_EXCEL_FIRST, _EXCEL_LAST, _EXCEL_1970 = 20_000.0, 80_000.0, 25_569.0
_TOKENS = re.compile(r"[A-ZÄÖÜ]+(?![a-zäöü])|[A-ZÄÖÜ]?[a-zäöüßéèêáíóúñçµμ]+|\d+")
DAY_S = 86_400.0


def name_words(name: str) -> list[str]:
    """Split a column's name into lower-case words: ``SensorTime [ns]`` -> sensor, time, ns."""
    return [word.lower() for word in _TOKENS.findall(name)]


def named_unit(name: str) -> TimeUnit | None:
    """Return the unit that a time column's name ends with, if any."""
    words = [word for word in name_words(name) if not word.isdigit()]
    for word in reversed(words):
        if word in _UNIT_OF and (len(words) > 1 or word in _SPELLED_UNITS):
            unit = _UNIT_OF[word]
            return next(known for known in get_args(TimeUnit) if known == unit)
    return None


def time_name(name: str) -> Literal["surely", "maybe", "no"]:
    """Say whether a column with this name holds times.

    ``"surely"``: all its words speak of time, as ``sample_time`` or ``Time (ms)`` do;
    ``"maybe"``: one of them does, as in ``response_time``, or it is the letter t.
    """
    words = [word for word in name_words(name) if not word.isdigit()]
    if words[:1] == ["t"] and len(words) == 2 and words[1] in _UNIT_OF:
        return "surely"
    if words in (["t"], ["dt"], ["when"]):
        return "maybe"
    if len(words) == 1 and words[0].removesuffix("s") in _COUNTED_WORDS:
        return "maybe"
    if not any(word in _TIME_WORDS for word in words):
        spelled = [_UNIT_OF[word] for word in words if word in _SPELLED_UNITS]
        # "seconds" are hardly a measured quantity; "hours" may well be.
        if len(words) == 1 and spelled and spelled[0] not in _LONG_UNITS:
            return "surely"
        return "maybe" if spelled else "no"
    if all(w in _TIME_WORDS or w in _UNIT_OF or w in _PLAIN_WORDS for w in words):
        return "surely"
    return "maybe"


def epoch_unit(values: FloatColumn) -> TimeUnit | None:
    """Return the unit in which all values lie between 1999 and 2103, counted from 1970."""
    if not len(values):
        return None
    low, high = float(np.min(values)), float(np.max(values))
    for unit in ("s", "ms", "us", "ns"):
        if _EPOCH_FIRST * PER_SECOND[unit] <= low and high <= _EPOCH_LAST * PER_SECOND[unit]:
            return next(known for known in get_args(TimeUnit) if known == unit)
    return None


def calendar_seconds(values: FloatColumn, name: str) -> FloatColumn | None:
    """Read numbers that spell dates, as seconds since 1970; None if they do not.

    These are 20241231, 202412311300 and 20241231130000; in columns with the name of a date also
    202412, the days of Excel, and years.
    """
    if not len(values) or not np.isfinite(values).all():
        return None
    whole = bool((values == np.floor(values)).all())
    words = set(name_words(name))
    if whole and (seconds := _digit_seconds(values, dated=time_name(name) != "no")) is not None:
        return seconds
    dated = bool(words & {"date", "datetime", "datum", "fecha", "dato", "day"})
    if dated and values.min() >= _EXCEL_FIRST and values.max() <= _EXCEL_LAST:
        return np.round((values - _EXCEL_1970) * DAY_S, 3)
    yearly = bool(words & {"year", "jahr", "año", "annee", "année", "anno", "ano", "date", "ds"})
    if whole and yearly and values.min() >= 1000 and values.max() <= 3000:
        return _date_seconds(values, np.ones_like(values), np.ones_like(values))
    return None


def _digit_seconds(values: FloatColumn, *, dated: bool) -> FloatColumn | None:
    """Read years, months, days, hours, minutes and seconds that stand side by side."""
    for digits, smallest in ((14, 1e13), (12, 1e11), (8, 1e7), (6, 1e5)):
        if not (1.9 * smallest <= values.min() and values.max() < 2.2 * smallest):
            continue
        if digits == 6 and not dated:
            return None
        day = values // 10.0 ** (digits - 8) if digits > 6 else values * 100.0 + 1.0
        seconds = _date_seconds(day // 10_000, day // 100 % 100, day % 100)
        if seconds is None or digits <= 8:
            return seconds
        clock = values % 10.0 ** (digits - 8) * (100.0 if digits == 12 else 1.0)
        hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
        if hour.max() > 24 or minute.max() > 59 or second.max() > 60:
            return None
        return seconds + hour * 3600.0 + minute * 60.0 + second
    return None


def _date_seconds(year: FloatColumn, month: FloatColumn, day: FloatColumn) -> FloatColumn | None:
    if month.min() < 1 or month.max() > 12 or day.min() < 1 or day.max() > 31:
        return None
    months = ((year - 1970) * 12 + month - 1).astype(np.int64)
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.float64) + day - 1
    return np.asarray(days * DAY_S, np.float64)


def is_counter(values: FloatColumn) -> bool:
    """Whether values count rows: 0, 1, 2, … or 1, 2, 3, … in the order of the rows."""
    if len(values) < 2 or not np.isfinite(values).all():
        return False
    return bool((np.diff(values) == 1).all()) and 0 <= values[0] < _EPOCH_FIRST


def are_evenly_spaced(values: FloatColumn, share: float = 0.5) -> bool:
    """Whether most of the sorted values are equally far apart, and few are the same."""
    if len(values) < 3 or not np.isfinite(values).all():
        return False
    unique = np.unique(values)
    steps = np.diff(unique)
    if len(unique) < max(3, 0.5 * len(values)):
        return False
    typical = float(np.median(steps))
    return bool((np.abs(steps - typical) <= 0.02 * typical).mean() >= share)
