"""Times in several columns: a date beside a time of day, or year, month, day and hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.times.date_columns import DAY_S
from omnivec2.preprocess.formats.tables.times.time_numbers import name_words

_PART_NAMES = {
    "year": "year yr yyyy jahr annee année año anno ano jaar",
    "month": "month mon mo mm monat mois mes mese maand",
    "day": "day dd tag jour dia día giorno dag dayofmonth",
    "hour": "hour hr hh hours stunde heure hora ora uur he hourending hourofday hourbeginning",
    "minute": "minute min minutes mi",
    "second": "second sec seconds",
}
_ZONES = frozenset(("utc", "gmt", "cet", "local"))
_PART_OF = {name: part for part, names in _PART_NAMES.items() for name in names.split()}
_SLOT_WORDS = frozenset(
    ("hour", "period", "interval", "slot", "block", "settlement", "sp", "hr", "stunde", "heure")
)
_MOST_SLOTS = 1440
_CLOCK_NAMES = frozenset({"time", "hhmm", "hour", "uhrzeit", "heure", "hora"})


@dataclass(frozen=True)
class DateParts:
    """Dates that were found in several columns.

    Attributes:
        columns: The columns.
        seconds: A float64 array (rows,) of seconds since 1970, NaN where a part is missing.
        has_clock: Whether there is a column of hours.
    """

    columns: tuple[str, ...]
    seconds: FloatColumn
    has_clock: bool


def dates_in_parts(frame: Frame) -> DateParts | None:
    """Read years, with a month, a day and an hour if they are there, as one time."""
    parts = _parts(frame)
    if "year" not in parts or not ("month" in parts or _are_years(parts["year"][1])):
        return None
    if "month" not in parts:
        parts = {"year": parts["year"]}
    columns = tuple(name for name, _ in parts.values())
    year = parts["year"][1]
    month = parts["month"][1] if "month" in parts else np.ones(frame.rows)
    day = parts["day"][1] if "day" in parts else np.ones(frame.rows)
    missing = np.isnan(year) | np.isnan(month) | np.isnan(day)
    year, month, day = (np.where(missing, 1.0, part) for part in (year, month, day))
    if not ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all():
        return None
    if (year[~missing] < 1000).any() or (year > 3000).any():
        return None
    months = ((year - 1970) * 12 + month - 1).astype(np.int64).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.float64) + day - 1
    seconds = np.where(missing, np.nan, days * DAY_S) + _of_day(parts)
    return DateParts(columns, seconds, "hour" in parts)


def _are_years(years: FloatColumn) -> bool:
    """Whether years follow one another, as in a series of them; a repeated one says nothing."""
    known = np.unique(years[np.isfinite(years)])
    return len(known) >= 3 and float((np.diff(known) == 1).mean()) >= 0.9


def add_clock(
    dates: FloatColumn, frame: Frame, times: Sequence[tuple[str, FloatColumn]]
) -> tuple[tuple[str, ...], FloatColumn, bool]:
    """Add the time of day to dates that have none.

    Args:
        dates: The dates in seconds, at midnight.
        frame: The other columns.
        times: The columns of texts that spell times of day, in seconds since midnight.

    Returns:
        The columns that hold the time of day, the times, and whether there was such a column.
    """
    if times:
        name, seconds = times[0]
        return (name,), dates + seconds, True
    parts = {key: found for key, found in _parts(frame).items() if key in _CLOCK_SCALES}
    if "hour" in parts:
        return tuple(name for name, _ in parts.values()), dates + _of_day(parts), True
    if (slots := _slots(dates, frame)) is not None:
        return (slots[0],), dates + slots[1], True
    for name in frame.columns:
        if name.strip().lower() not in _CLOCK_NAMES or not frame.is_numeric(name):
            continue
        values = frame.numbers(name)
        known = values[np.isfinite(values)]
        # 1330 is half past one.
        if (
            len(known)
            and (known == np.floor(known)).all()
            and known.min() >= 0
            and known.max() <= 2400
            and (known % 100 < 60).all()
        ):
            return (name,), dates + values // 100 * 3600.0 + values % 100 * 60.0, True
    return (), dates, False


def _slots(dates: FloatColumn, frame: Frame) -> tuple[str, FloatColumn] | None:
    """Return the column that counts the parts of each day, such as 48 half hours, in seconds."""
    most = int(np.unique(dates[np.isfinite(dates)], return_counts=True)[1].max(initial=0))
    if not 1 < most <= _MOST_SLOTS:
        return None
    for name in frame.columns:
        if not _SLOT_WORDS & set(name_words(name)) or not frame.is_numeric(name):
            continue
        values = frame.numbers(name)
        known = values[np.isfinite(values)]
        if not len(known) or (known != np.floor(known)).any() or known.min() not in (0, 1):
            continue
        if len(np.unique(known)) == most == known.max() - known.min() + 1:
            return name, (values - known.min()) * (DAY_S / most)
    return None


_CLOCK_SCALES = {"hour": 3600.0, "minute": 60.0, "second": 1.0}
_CLOCK_LIMITS = {"hour": 24, "minute": 59, "second": 60}


def _of_day(parts: dict[str, tuple[str, FloatColumn]]) -> FloatColumn:
    clock = [parts[key][1] * scale for key, scale in _CLOCK_SCALES.items() if key in parts]
    return np.asarray(sum(clock, np.float64(0.0)))


def _parts(frame: Frame) -> dict[str, tuple[str, FloatColumn]]:
    """Return the columns of numbers that are named as parts of a time, each kind once."""
    found: dict[str, tuple[str, FloatColumn]] = {}
    if not frame.named:
        return found
    for name in frame.columns:
        part = _PART_OF.get("".join(w for w in name_words(name) if w not in _ZONES))
        if part is None or part in found or not frame.is_numeric(name):
            continue
        values = frame.numbers(name)
        known = values[np.isfinite(values)]
        limit = _CLOCK_LIMITS.get(part)
        if limit is not None and ((known < 0).any() or (known > limit).any()):
            continue
        if part == "second" or (known == np.floor(known)).all():
            found[part] = (name, values)
    # Minutes without hours, and hours without days, are quantities of their own.
    if "hour" not in found:
        found = {key: value for key, value in found.items() if key not in ("minute", "second")}
    return found
