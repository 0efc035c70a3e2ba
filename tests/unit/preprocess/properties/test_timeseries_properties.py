"""Changes of a table of series that keep its meaning keep the arrays; others are told."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.time_axis import TimeOptions
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.preprocess.timeseries import TimeseriesParameters, TimeseriesPreprocessor

READER = TimeseriesPreprocessor(TimeseriesParameters(context_length=48, horizon=8))
SEEDS = range(30)
ROWS = 72
EPOCH = datetime(1970, 1, 1)

Table = dict[str, list[Any]]


def series(seed: int) -> Table:
    """Two series of 72 hours, whose first day is not the same for each seed."""
    rng = np.random.default_rng(seed)
    start = datetime(2000, 1, 1) + timedelta(days=int(rng.integers(0, 9000)))
    hours = np.arange(ROWS)
    wave = 10 * np.sin(hours / 24 * 2 * np.pi + rng.uniform(0, 6))
    return {
        "date": [start + timedelta(hours=int(hour)) for hour in hours],
        "load": (100 + wave + rng.normal(size=ROWS)).round(3).tolist(),
        "heat": (rng.uniform(-50, 50) + rng.normal(size=ROWS).cumsum()).round(3).tolist(),
    }


def csv_of(table: Mapping[str, list[Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode()


def with_dates(table: Table, form: Callable[[datetime], Any], name: str = "date") -> Table:
    others = {key: cells for key, cells in table.items() if key != "date"}
    return {name: [form(moment) for moment in table["date"]], **others}


def epoch(per_second: float) -> Callable[[datetime], int]:
    return lambda moment: int((moment - EPOCH).total_seconds() * per_second)


def in_order(table: Table, order: Any) -> Table:
    return {name: [cells[row] for row in order] for name, cells in table.items()}


def shuffled(table: Table, rng: np.random.Generator) -> bytes:
    return csv_of(in_order(table, rng.permutation(ROWS)))


def parquet_of(table: Table, rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(in_order(table, rng.permutation(ROWS))), file)
    return file.getvalue()


def german(table: Table, rng: np.random.Generator) -> bytes:
    del rng
    numbers = {name: [str(v).replace(".", ",") for v in table[name]] for name in ("load", "heat")}
    dates = [f"{moment:%d.%m.%Y %H:%M}" for moment in table["date"]]
    return csv_of({"Datum": dates[::-1], **{n: c[::-1] for n, c in numbers.items()}}, ";")


def text_dates(form: str, name: str) -> Callable[[Table, np.random.Generator], bytes]:
    return lambda table, rng: shuffled(with_dates(table, lambda m: m.strftime(form), name), rng)


def two_columns(table: Table, rng: np.random.Generator) -> bytes:
    days: Table = with_dates(table, lambda moment: f"{moment:%d.%m.%Y}")
    hours = [moment.hour for moment in table["date"]]
    return shuffled({**days, "hour": hours}, rng)


def columns_in_another_order(table: Table, rng: np.random.Generator) -> bytes:
    extra: Table = {"index": list(range(ROWS)), "note": ["x"] * ROWS}
    names = rng.permutation([*table, *extra])
    return csv_of({name: {**table, **extra}[name] for name in names})


def doubled(table: Table, rng: np.random.Generator) -> bytes:
    return csv_of(in_order(table, rng.permutation(np.tile(np.arange(ROWS), 2))))


def json_columns(table: Table, rng: np.random.Generator) -> Any:
    return with_dates(in_order(table, rng.permutation(ROWS)), datetime.isoformat)


def json_rows(table: Table, rng: np.random.Generator) -> Any:
    columns = json_columns(table, rng)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def json_by_time(table: Table, rng: np.random.Generator) -> Any:
    order = rng.permutation(ROWS)
    keys = [str(epoch(1e3)(table["date"][row])) for row in order]
    return {
        name: dict(zip(keys, [table[name][row] for row in order], strict=True))
        for name in ("load", "heat")
    }


def long_format(table: Table, rng: np.random.Generator) -> bytes:
    names = [name for name in ("load", "heat") for _ in range(ROWS)]
    long = {"unique_id": names, "ds": table["date"] * 2, "y": table["load"] + table["heat"]}
    return csv_of(in_order(long, rng.permutation(2 * ROWS)))


def entries(table: Table, rng: np.random.Generator) -> bytes:
    del rng
    lines = [
        {"item_id": name, "start": str(table["date"][0]), "target": table[name]}
        for name in ("load", "heat")
    ]
    return "\n".join(map(json.dumps, lines)).encode()


KEEPING = {
    "shuffled rows": shuffled,
    "newest first": lambda table, rng: csv_of(in_order(table, range(ROWS)[::-1])),
    "Parquet": parquet_of,
    "German export": german,
    "ISO with a zone": text_dates("%Y-%m-%dT%H:%M:%S+05:30", "when"),
    "twelve hours": text_dates("%d-%b-%Y %I:%M:%S %p", "stamp"),
    "month first": text_dates("%b %d, %Y %H:%M", "date"),
    "compact": text_dates("%Y%m%dT%H%M%SZ", "x"),
    "seconds": lambda table, rng: shuffled(with_dates(table, epoch(1), "ts"), rng),
    "milliseconds": lambda table, rng: shuffled(with_dates(table, epoch(1e3), "unix_ms"), rng),
    "nanoseconds": lambda table, rng: shuffled(with_dates(table, epoch(1e9), "time"), rng),
    "a date and an hour": two_columns,
    "columns in another order": columns_in_another_order,
    "each row twice": doubled,
    "JSON columns": json_columns,
    "JSON rows": json_rows,
    "JSON by time": json_by_time,
    "base64": lambda table, rng: base64.b64encode(shuffled(table, rng)).decode(),
    "long format": long_format,
    "JSON Lines": entries,
}
"""Changes that keep the meaning of a table."""


def prepared(value: Any) -> tuple[dict[str, np.ndarray], list[Note]]:
    with collect_notes() as notes:
        is_file = isinstance(value, bytes)
        native = READER.decode(value) if is_file else READER.decode_json(value)
        result = READER.prepare(native)
    scale = result.context.get("scale", [1.0] * len(result.samples))
    location = result.context.get("location", [0.0] * len(result.samples))
    arrays = {
        name: sample["values"].astype(np.float64) * factor + offset
        for name, sample, factor, offset in zip(
            result.context["names"], result.samples, scale, location, strict=True
        )
    }
    return arrays, list(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_that_keep_the_meaning_keep_the_arrays(seed: int) -> None:
    table = series(seed)
    expected = {name: np.array(table[name][-48:]) for name in ("load", "heat")}
    for kind, change in KEEPING.items():
        found, _ = prepared(change(table, np.random.default_rng(seed)))
        assert found.keys() == expected.keys(), kind
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_offset_and_a_scale_are_those_of_the_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = series(seed)
    plain, _ = prepared({"target": table["load"]})
    offset, scale = float(rng.choice([0.0, 1e6, 1e9])), float(rng.choice([1e-6, 1.0, 1e6]))
    found, _ = prepared({"target": [offset + scale * value for value in table["load"]]})
    wanted = plain["target"] - plain["target"].mean()
    np.testing.assert_allclose(
        found["target"] - found["target"].mean(), scale * wanted, atol=scale * 2e-3 + offset * 4e-16
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_missing_rows_are_those_of_empty_cells_and_noted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = series(seed)
    missing = rng.choice(np.arange(30, ROWS - 1), 5, replace=False)
    holes = {
        name: [
            None if row in missing and name != "date" else cell for row, cell in enumerate(cells)
        ]
        for name, cells in table.items()
    }
    kept = [row for row in range(ROWS) if row not in missing]
    with_holes, _ = prepared(csv_of(holes))
    without_rows, notes = prepared(csv_of(in_order(table, rng.permutation(kept))))
    for name in with_holes:
        np.testing.assert_allclose(without_rows[name], with_holes[name])
    assert NoteCode.FILLED in {note.code for note in notes}


def cut_to_days(table: Table) -> bytes:
    return csv_of(with_dates(table, lambda moment: f"{moment:%Y-%m-%d}"))


def unread_texts(table: Table) -> bytes:
    return csv_of({**table, "heat": ["high", "low"] * (ROWS // 2)})


def constant(table: Table) -> bytes:
    return csv_of({**table, "heat": [4.5] * ROWS})


def jittered(table: Table) -> bytes:
    minutes = np.random.default_rng(0).integers(-12, 12, ROWS)
    moments = [m + timedelta(minutes=int(j)) for m, j in zip(table["date"], minutes, strict=True)]
    return csv_of({**table, "date": moments})


def several_without_ids(table: Table) -> bytes:
    return csv_of({"date": table["date"] * 2, "y": table["load"] + table["heat"]})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (cut_to_days, None),
        (several_without_ids, None),
        (unread_texts, NoteCode.IGNORED),
        (constant, NoteCode.EMPTY),
        (jittered, NoteCode.RESAMPLED),
    ],
)
def test_what_changes_the_meaning_is_refused_or_noted(change: Any, code: NoteCode | None) -> None:
    for seed in SEEDS:
        if code is None:
            with pytest.raises(InvalidInputError, match="share one time"):
                prepared(change(series(seed)))
        else:
            assert code in {note.code for note in prepared(change(series(seed)))[1]}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stated_order_of_dates_is_that_of_the_table(seed: int) -> None:
    table = series(seed)
    days = [datetime(2024, 1 + row // 12, 1 + row % 12) for row in range(ROWS)]
    dates = np.random.default_rng(seed).permutation(ROWS)
    cells = [f"{days[row]:%d/%m/%Y}" for row in dates]
    value = {"date": cells, "load": [table["load"][row] for row in dates]}
    with pytest.raises(InvalidInputError, match=r"'dmy'.*'mdy'"):
        READER.decode_json(value)
    with state(TimeOptions(date_order="mdy")):
        swapped = READER.decode_json(value)
    with state(TimeOptions(date_order="dmy")):
        found = READER.decode_json(value)
    assert not np.array_equal(swapped.values, found.values, equal_nan=True)
