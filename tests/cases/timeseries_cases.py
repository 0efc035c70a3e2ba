"""Series as meters, loggers, spreadsheets and forecasting libraries write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tests.cases.case import (
    AnyOf,
    Case,
    Count,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    StaysAt,
    as_csv,
    as_json,
    inputs,
)

ROUTE, EMBEDDING = "timeseries/forecast", "timeseries/embedding"
HOURS = 420
START = datetime(2022, 8, 17, 5)
EXACT = 0.001

Table = dict[str, Sequence[Any]]


@cache
def water(seed: int = 0) -> list[float]:
    """Litres that a house uses in each hour, with a peak in the morning and one at night."""
    rng = np.random.default_rng(seed)
    hour = (np.arange(HOURS) + 5 + 3 * seed) % 24
    peaks = np.exp(-((hour - 7) ** 2) / 4) + 0.7 * np.exp(-((hour - 19) ** 2) / 9)
    return (1100 + 900 * peaks + rng.normal(0, 25, HOURS)).round(1).tolist()


def moments() -> list[datetime]:
    return [START + timedelta(hours=hour) for hour in range(HOURS)]


def text(table: Table, delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return file.getvalue()


def dated(
    form: Callable[[datetime], Any] = str,
    name: str = "date",
    value: Callable[[float], Any] = float,
    newest_first: bool = False,
    delimiter: str = ",",
) -> Factory:
    """Return what makes a table of one series."""
    step = -1 if newest_first else 1
    table = {
        name: [form(moment) for moment in moments()][::step],
        "water": [value(litres) for litres in water()][::step],
    }
    return lambda: as_csv(text(table, delimiter))


plain = dated()


def picked(rows: Sequence[int], missing: Sequence[int] = ()) -> Factory:
    """Return what makes a table of some rows, and of some empty cells."""
    values = ["" if row in missing else water()[row] for row in rows]
    table = {"date": [moments()[row] for row in rows], "water": values}
    return lambda: as_csv(text(table))


def epoch(per_second: float) -> Callable[[datetime], int]:
    return lambda moment: round((moment - datetime(1970, 1, 1)).total_seconds() * per_second)


def two_series() -> Table:
    return {"date": moments(), "north": water(), "south": water(1)}


def long_form(names: Sequence[Any], id_name: str, time_name: str, value_name: str) -> Table:
    order = np.random.default_rng(3).permutation(2 * HOURS)
    whole: Table = {
        id_name: [name for name in names for _ in range(HOURS)],
        time_name: moments() * 2,
        value_name: water() + water(1),
    }
    return {name: [cells[row] for row in order] for name, cells in whole.items()}


def as_parquet(table: Table) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(dict(table)), file)
    return file.getvalue()


def same(name: str, made: Factory, wanted: Factory = plain, tolerance: float = EXACT) -> Case:
    return Case(f"timeseries: {name}", ROUTE, made, SameAs(wanted, tolerance))


def two() -> Any:
    return as_csv(text(two_series()))


_GAP = range(300, 331)
_LOST = [row for row in range(30, HOURS - 1) if row % 9 == 4]
_WHOLE = list(range(HOURS))

CASES = [
    same("German dates", dated("{:%d.%m.%Y %H:%M}".format, "Zeit", newest_first=True)),
    same("American dates", dated("{:%m/%d/%Y %H:%M}".format, "when", newest_first=True)),
    same("hours of twelve", dated("{:%Y-%m-%d %I:%M:%S %p}".format)),
    same("names of months", dated("{:%d %b %Y %H:%M}".format, "day")),
    same("a time zone", dated("{:%Y-%m-%dT%H:%M:%SZ}".format, "timestamp")),
    same("Unix seconds, newest first", dated(epoch(1), "unix", newest_first=True)),
    same("Unix milliseconds", dated(epoch(1e3), "ts", newest_first=True)),
    same("Unix microseconds", dated(epoch(1e6), "time_us", newest_first=True)),
    same(
        "decimal commas between semicolons",
        dated(value=lambda litres: str(litres).replace(".", ","), delimiter=";"),
    ),
    same("thousands with commas", dated(value="{:,.1f}".format)),
    same("numbers with their unit", dated(value="{} l".format)),
    same("a date and an hour in two columns", lambda: as_csv(text(
        {
            "date": [f"{moment:%d.%m.%Y}" for moment in moments()][::-1],
            "time": [f"{moment:%H:%M}" for moment in moments()][::-1],
            "water": water()[::-1],
        }
    ))),
    same("every hour twice", picked([row for row in _WHOLE for _ in range(2)]), tolerance=0.02),
    same(
        "rows that a logger lost",
        picked([row for row in _WHOLE if row not in _LOST]),
        picked(_WHOLE, _LOST),
        0.05,
    ),
    same(
        "a day and more without rows",
        picked([row for row in _WHOLE if row not in _GAP]),
        picked(_WHOLE, _GAP),
        0.05,
    ),
    same("empty rows at the end", lambda: as_csv(text({"date": moments(), "water": water()})
                                                  + ",\r\n" * 4)),
    same(
        "two series in long form",
        lambda: as_csv(text(long_form(["north", "south"], "unique_id", "ds", "y"))),
        two,
    ),
    same(
        "a long form in Parquet",
        lambda: as_parquet(long_form(["north", "south"], "item_id", "timestamp", "target")),
        two,
    ),
    same(
        "one object for each series",
        lambda: b"\n".join(
            as_json({"item_id": name, "start": str(START), "target": values}).content
            for name, values in (("north", water()), ("south", water(1)))
        ),
        two,
    ),
    same(
        "a filtered data frame",
        lambda: as_parquet(
            {"date": moments(), "water": water(), "__index_level_0__": list(range(7, HOURS + 7))}
        ),
    ),
    same(
        "missing values as text",
        inputs({"target": [*water()[:50], "NaN", "<NA>", *water()[52:]]}),
        inputs({"target": [*water()[:50], None, None, *water()[52:]]}),
    ),
    Case(
        "timeseries: a counter far from zero",
        ROUTE,
        inputs({"target": [value + 5e8 for value in water()]}),
        SameAs(inputs({"target": water()}), 0.1, offset=5e8),
    ),
    Case(
        "timeseries: a tap that nobody opened",
        ROUTE,
        inputs({"target": [0.0] * HOURS}),
        AnyOf([StaysAt(0.0), Refused("constant|same value|flat")]),
    ),
    Case(
        "timeseries: a column that never changes",
        ROUTE,
        lambda: as_csv(text({"date": moments(), "water": water(), "house": [17] * HOURS})),
        StaysAt(17.0, "house"),
    ),
    Case(
        "timeseries: the embedding of a constant",
        EMBEDDING,
        inputs({"target": [3.5] * HOURS}),
        AnyOf([Count(1), Refused("constant|same value|flat")]),
    ),
    Case(
        "timeseries: dates of which nobody knows the order",
        ROUTE,
        lambda: as_csv(text({
            "date": [f"0{1 + row % 9}/0{1 + row // 9 % 9}/2022" for row in range(81)],
            "water": water()[:81],
        })),
        AnyOf([Refused("day|month|order|ambiguous"), Noted("day|month|order")]),
    ),
    Case("timeseries: another series", ROUTE, inputs({"target": water()[::-1]}),
         OtherThan(inputs({"target": water()}), EXACT)),
]  # fmt: skip
