"""Tables: income over 50,000 dollars (Adult), and success of a bank's calls (Bank Marketing)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.preprocess import Sample
from omnivec2.preprocess.tabular import Table
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    hold_out,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored

Row = Mapping[str, float | str | None]

_ADULT_NUMBERS = (
    "age",
    "education-num",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
)
_ADULT_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)
_BANK_NUMBERS = ("campaign", "duration", "pdays", "previous", "age", "balance")

_ADULT_WEIGHT = "fnlwgt"
"""A column with the number of people a row represents: a property of the census."""


def load_adult(at: DataDirectories) -> TaskData:
    """Load Adult (UCI) with its official split; a tenth of the training rows is ``val``."""
    files = {part: at.find(f"tabular_adult/adult-{part}.csv.gz") for part in ("train", "test")}
    rows: dict[str, list[Row]] = {}
    targets: dict[str, list[int]] = {}
    for part, file in files.items():
        cells = [[cell.strip() for cell in row] for row in _read(file) if len(row) > 1]
        rows[part] = [_typed(_ADULT_COLUMNS, row[:-1], _ADULT_NUMBERS, "?") for row in cells]
        targets[part] = [int(row[-1].rstrip(".") == ">50K") for row in cells]
    fit, val = hold_out(targets["train"], 0.1, seed=10)
    known = [rows["train"][i] for i in fit]
    columns = [c for c in schema(known, _ADULT_NUMBERS) if c["name"] != _ADULT_WEIGHT]
    spec = preprocess_spec(Modality.TABULAR, columns=columns)
    parts = {
        part: _split(at, f"tabular-adult-{part}", spec, file, rows[part], targets[part])
        for part, file in files.items()
    }
    return TaskData(
        route="tabular/income",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            "train": parts["train"].take(fit),
            "val": parts["train"].take(val),
            "test": parts["test"],
        },
        metric="accuracy",
        test_name="Adult test (public half)",
        sources=(
            DataSource(
                name="Adult (UCI)",
                licence="CC BY 4.0 (UCI page; none in the repository)",
                source="github.com/jbrownlee/Datasets",
            ),
        ),
        labels=("<=50K", ">50K"),
        description="Whether a person of the 1994 US census earned over 50,000 dollars a year.",
    )


def load_bank(at: DataDirectories) -> TaskData:
    """Load Bank Marketing, which has no official split: 80, 10 and 10 % by class, fixed seed."""
    file = at.find("tabular_bank/bank-full.csv.gz")
    table = _read(file)
    names = table[0][:-1]
    rows = [_typed(names, row[:-1], _BANK_NUMBERS, "") for row in table[1:]]
    targets = [int(row[-1] == "yes") for row in table[1:]]
    rest, test = hold_out(targets, 0.1, seed=10)
    kept, val = hold_out(np.array(targets)[rest], 1 / 9, seed=11)
    columns = schema([rows[i] for i in rest[kept]], _BANK_NUMBERS)
    spec = preprocess_spec(Modality.TABULAR, columns=columns)
    everything = _split(at, "tabular-bank", spec, file, rows, targets)
    return TaskData(
        route="tabular/marketing",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            "train": everything.take(rest[kept]),
            "val": everything.take(rest[val]),
            "test": everything.take(test),
        },
        metric="auc",
        test_name="Bank Marketing, random 10 %",
        sources=(
            DataSource(
                name="Bank Marketing (UCI)",
                licence="CC BY 4.0 (UCI page); MIT (repository)",
                source="github.com/radi-cho/GatedTabTransformer",
            ),
        ),
        labels=("no", "yes"),
        description="Whether a client takes a term deposit after a bank's call. The call's "
        "duration is among the columns, so this is no forecast before calling.",
    )


def schema(rows: Sequence[Row], numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Return columns as the pre-processor's parameters state them, from training rows.

    A column without any value is left out.

    Args:
        rows: The training rows.
        numbers: The names of the numeric columns.
    """
    columns: list[dict[str, Any]] = []
    for name in rows[0]:
        present = [row[name] for row in rows if row[name] is not None]
        if not present:
            continue
        if name in numbers:
            values = np.array(present, dtype=np.float64)
            mean, std = (round(float(value), 6) for value in (values.mean(), values.std()))
            columns.append({"name": name, "kind": "number", "mean": mean, "std": std or 1.0})
        else:
            found = sorted({str(value) for value in present})
            columns.append({"name": name, "kind": "category", "categories": found})
    return columns


def _read(file: Path) -> list[list[str]]:
    with gzip.open(file, "rt", newline="") as lines:
        return list(csv.reader(lines))


def _typed(names: Sequence[str], cells: Sequence[str], numbers: Sequence[str], missing: str) -> Row:
    return {
        name: None if cell == missing else float(cell) if name in numbers else cell
        for name, cell in zip(names, cells, strict=True)
    }


def _split(
    at: DataDirectories,
    name: str,
    spec: PreprocessSpec,
    file: Path,
    rows: Sequence[Row],
    targets: Sequence[int],
) -> Split:
    preprocessor = build(spec)

    def make() -> Iterator[Sample]:
        table = Table.of({name: [row[name] for row in rows] for name in rows[0]})
        yield from preprocessor.prepare(table).samples

    samples = stored(at.cache, name, spec, [file], make)
    return Split(samples, np.array(targets, dtype=np.int64))


TASKS: dict[str, Loader] = {"tabular/income": load_adult, "tabular/marketing": load_bank}
