"""Damaged tables of every format: each is read or refused, soon, and no other error comes out."""

from __future__ import annotations

import gzip
import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InputError
from omnivec2.preprocess import Preprocessor
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor
from omnivec2.preprocess.tabular import TabularParameters, TabularPreprocessor
from omnivec2.preprocess.timeseries import TimeseriesParameters, TimeseriesPreprocessor
from tests.support.sample_files.workbooks import workbook

MUTATIONS = 120
"""Damaged files per format; the seed of each is its number."""

SLOWEST_SECONDS = 2.0

ROWS = 40
COLUMNS: dict[str, list[Any]] = {
    "time": [f"2024-01-{1 + i // 24:02}T{i % 24:02}:00:00" for i in range(ROWS)],
    "acc_x": [float(i % 7) for i in range(ROWS)],
    "load": [i * 1.25 for i in range(ROWS)],
    "kind": ["ab"[i % 2] for i in range(ROWS)],
}
CSV = "\n".join(
    [",".join(COLUMNS), *(",".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True))]
).encode()
JSON_ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def parquet_file(**options: object) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(COLUMNS), file, **options)
    return file.getvalue()


def parquet_of_lists_and_bytes() -> bytes:
    file = io.BytesIO()
    lists = pa.array([[float(i), 1.5] for i in range(ROWS)])
    words = pa.array([kind.encode() for kind in COLUMNS["kind"]], pa.binary())
    numbers = {name: COLUMNS[name] for name in ("acc_x", "load")}
    parquet.write_table(pa.table({**numbers, "target": lists, "kind": words}), file)
    return file.getvalue()


def zip_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", CSV)
    return file.getvalue()


SHEET = workbook({"S": [list(COLUMNS), *map(list, zip(*COLUMNS.values(), strict=True))]})


def stored_sheet() -> bytes:
    """A workbook whose parts are not packed, so that damage reaches the XML."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SHEET)) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    return file.getvalue()


FILES: dict[str, bytes] = {
    "CSV": CSV,
    "German CSV": CSV.replace(b",", b";").replace(b".", b","),
    "UTF-16": CSV.decode().encode("utf-16"),
    "JSON rows": json.dumps(JSON_ROWS).encode(),
    "JSON columns": json.dumps(COLUMNS).encode(),
    "JSON split": json.dumps({"columns": list(COLUMNS), "data": [[1, 2, 3, "a"]] * 9}).encode(),
    "JSON Lines": "\n".join(map(json.dumps, JSON_ROWS)).encode(),
    "Parquet": parquet_file(),
    "Parquet with pages of version 2": parquet_file(data_page_version="2.0", compression="gzip"),
    "Parquet without dictionaries": parquet_file(use_dictionary=False, compression="none"),
    "Parquet of lists and bytes": parquet_of_lists_and_bytes(),
    "XLSX": SHEET,
    "XLSX without compression": stored_sheet(),
    "GZIP": gzip.compress(CSV),
    "ZIP": zip_file(),
}
TABULAR = TabularParameters.model_validate(
    {"columns": [{"name": "load", "kind": "number"}, {"name": "acc_x", "kind": "number"}]}
)
HEADS: list[Preprocessor] = [
    TabularPreprocessor(TABULAR),
    TimeseriesPreprocessor(TimeseriesParameters(context_length=20, horizon=4)),
    ImuPreprocessor(ImuParameters(window=8, channels=("acc_x", "load"))),
]


def flip(data: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(0, len(data), rng.integers(1, 6)):
        data[position] = rng.integers(0, 256)


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(0, len(data)) :]


def remove(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 30))]


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, size = int(rng.integers(0, len(data))), int(rng.integers(1, 60))
    data[start:start] = data[start : start + size] * int(rng.integers(1, 40))


def insert(data: bytearray, rng: np.random.Generator) -> None:
    pieces = [
        b"\xff" * 8,
        b"\0" * 8,
        b"\x7f\xff\xff\xff",
        b'"',
        b"\n",
        b";",
        b"<",
        b"99999999",
        b"-",
    ]
    start = int(rng.integers(0, len(data)))
    data[start:start] = pieces[rng.integers(0, len(pieces))]


def mutated(data: bytes, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    damages: list[Callable[[bytearray, np.random.Generator], None]] = [
        flip,
        cut,
        remove,
        repeat,
        insert,
    ]
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if damaged:
            damages[rng.integers(0, len(damages))](damaged, rng)
    return bytes(damaged)


@pytest.mark.parametrize("name", FILES)
def test_damaged_tables_are_read_or_refused_and_never_anything_else(name):
    for seed in range(MUTATIONS):
        data = mutated(FILES[name], seed)
        head = HEADS[seed % len(HEADS)]
        started = time.thread_time()
        try:
            prepared = head.prepare(head.decode(data))
        except InputError:
            continue
        finally:
            assert time.thread_time() - started < SLOWEST_SECONDS, seed
        for sample in prepared.samples:
            assert all(np.isfinite(array).all() for array in sample.values())


@pytest.mark.parametrize("name", FILES)
def test_the_undamaged_tables_are_read(name):
    assert len(HEADS[0].prepare(HEADS[0].decode(FILES[name])).samples)
