"""Recordings of motion as phones, loggers and robots write them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from tests.cases.case import (
    TOLERANCE,
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    as_csv,
    inputs,
)

ROUTE = "imu?tasks=activity,embedding"
G = 9.80665
SECONDS = 5.12
CHANNELS = [f"{kind}_{axis}" for kind in ("acc", "body_acc", "body_gyro") for axis in "xyz"]

Columns = Mapping[str, Any]


@cache
def climb(rate_hz: float = 50.0) -> Columns:
    """Somebody who climbs stairs with two steps a second, sampled at any rate."""
    times = np.arange(round(SECONDS * rate_hz)) / rate_hz
    rng = np.random.default_rng(12)
    columns: dict[str, np.ndarray] = {"time": times}
    for channel in CHANNELS:
        waves = [
            strength * np.sin(2 * np.pi * 2 * order * times + rng.uniform(0, 6))
            for order, strength in enumerate(rng.normal(0, [0.3, 0.15, 0.05]), start=1)
        ]
        columns[channel] = np.round(np.sum(waves, axis=0) + 0.97 * (channel == "acc_x"), 5)
    return columns


def text(columns: Columns, delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def plain() -> Any:
    return as_csv(text(climb()))


def fast() -> Any:
    return as_csv(text(climb(100)))


def timed(name: str, form: Callable[[np.ndarray], Sequence[Any]], rate_hz: float = 100) -> Factory:
    """Return what makes a table whose column of times has another name and form."""
    columns = climb(rate_hz)
    others = {channel: columns[channel] for channel in CHANNELS}
    return lambda: as_csv(text({name: form(columns["time"]), **others}))


def whole(first: int, per_second: float) -> Callable[[np.ndarray], Sequence[int]]:
    return lambda times: (first + np.round(times * per_second).astype(np.int64)).tolist()


def clock(form: str) -> Callable[[np.ndarray], Sequence[str]]:
    return lambda times: [form.format(seconds) for seconds in times]


def scaled(acceleration: float, rotation: float = 1.0, names: str = "{}") -> Columns:
    """The recording in other units, and their names if the columns have them."""
    columns = {"time": climb()["time"]}
    for channel in CHANNELS:
        factor = rotation if "gyro" in channel else acceleration
        name = names.format(channel) if "gyro" not in channel else channel
        columns[name] = climb()[channel] * factor
    return columns


def shuffled() -> Any:
    order = np.random.default_rng(1).permutation(len(climb()["time"]))
    return as_csv(text({name: values[order] for name, values in climb().items()}))


def as_parquet() -> bytes:
    file = io.BytesIO()
    extra = {"label": np.zeros(len(climb()["time"])), **climb()}
    parquet.write_table(pa.table({name: extra[name] for name in sorted(extra)}), file)
    return file.getvalue()


def same(name: str, made: Factory, wanted: Factory = plain, tolerance: float = TOLERANCE) -> Case:
    return Case(f"imu: {name}", ROUTE, made, SameAs(wanted, tolerance))


def told(name: str, made: Factory, words: str) -> Case:
    expected = AnyOf([SameAs(plain), Noted(words), Refused(words)])
    return Case(f"imu: {name}", ROUTE, made, expected)


CASES = [
    same("a hundred samples a second", fast, tolerance=0.05),
    same("rows in any order", shuffled),
    same("a data frame with a label", as_parquet),
    same("milliseconds since the start", timed("elapsed_ms", whole(0, 1e3)), fast),
    same("Unix milliseconds called ts", timed("ts", whole(1_690_000_000_000, 1e3)), fast),
    same("Unix nanoseconds",
         timed("sensor_time", whole(1_690_000_000_000_000_000, 1e9)), fast),
    same("nanoseconds since a phone was started", timed("t (ns)", whole(26 * 10**14, 1e9)),
         fast),
    same("times of day", timed("clock", clock("17:42:{:06.3f}")), fast),
    same("days, months and times", timed("recorded", clock("23/11/2021 17:42:{:06.3f}")), fast),
    same(
        "whole seconds that fifty rows share",
        timed("time", lambda times: (np.floor(times) + 1_690_000_000).astype(int).tolist(), 50),
    ),
    same(
        "decimal commas",
        lambda: as_csv(text(climb(), ";").replace(".", ",")),
    ),
    same(
        "units in the names",
        lambda: as_csv(text(scaled(G, names="{} (m/s²)"))),
    ),
    same(
        "units that are stated",
        inputs(
            {name: list(values) for name, values in scaled(G, 180 / math.pi).items()},
            parameters={"unit": "m/s^2", "gyro_unit": "deg/s"},
        ),
    ),
    told("metres per square second", lambda: as_csv(text(scaled(G))), r"m/s|\bg\b|unit"),
    told("thousandths of g", lambda: as_csv(text(scaled(1e3))), r"mg|unit"),
    told("a counter that is called time", timed("time", whole(1, 50), 50), "rate|row|count"),
    Case(
        "imu: two and a half rows a second",
        ROUTE,
        lambda: as_csv(text({**climb(), "time": climb()["time"] * 20})),
        Refused("rate|low"),
    ),
    Case(
        "imu: a phone that lies on a table",
        ROUTE,
        lambda: as_csv(text(
            {name: values if name == "time" else values * 0 + (name == "acc_x")
             for name, values in climb().items()}
        )),
        AnyOf([Noted("empty"), Refused("constant|move")]),
    ),
    Case(
        "imu: another axis is up",
        ROUTE,
        lambda: as_csv(text({**climb(), "acc_x": climb()["acc_y"], "acc_y": climb()["acc_x"]})),
        OtherThan(plain),
    ),
]  # fmt: skip
