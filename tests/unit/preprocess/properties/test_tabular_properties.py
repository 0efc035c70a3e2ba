"""Tables that mean the same give the same arrays; tables that mean another do not, or say so."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.preprocess import collate
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.tabular import TabularParameters, TabularPreprocessor
from tests.support.sample_files.workbooks import workbook

SEEDS = range(32)
NUMBERS = ("age", "capital-gain", "hours-per-week", "rate")
CATEGORIES = {
    "work-class": ("Private", "Self-emp-inc", "State-gov"),
    "month": tuple(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    ),
    "owner": ("no", "yes"),
    "day": tuple(map(str, range(1, 32))),
}
COLUMNS = [
    *({"name": name, "kind": "number", "mean": 50.0, "std": 4_000.0} for name in NUMBERS),
    *({"name": name, "kind": "category", "categories": c} for name, c in CATEGORIES.items()),
]
HEAD = TabularPreprocessor(TabularParameters.model_validate({"columns": COLUMNS}))

Cells = dict[str, list[Any]]
"""Column -> cells: float, str, or None where missing."""


def table(rng: np.random.Generator) -> Cells:
    """A table of some rows, with missing cells."""
    rows = int(rng.integers(3, 12))
    numbers = {
        "age": rng.integers(18, 90, rows).astype(float),
        "capital-gain": rng.integers(1_000, 60_000, rows).astype(float),
        "hours-per-week": rng.integers(1, 80, rows).astype(float),
        "rate": np.round(rng.random(rows) * 100, 2) + 0.25,
    }
    cells: Cells = {name: values.tolist() for name, values in numbers.items()}
    cells |= {name: [str(x) for x in rng.choice(c, rows)] for name, c in CATEGORIES.items()}
    for values in cells.values():
        for row in np.flatnonzero(rng.random(rows - 1) < 0.15):
            values[row] = None
    return cells


def arrays(data: bytes | Any, media_type: str | None = None) -> dict[str, np.ndarray]:
    native = HEAD.decode(data, media_type) if isinstance(data, bytes) else HEAD.decode_json(data)
    return collate(HEAD.prepare(native).samples)


def as_text(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:g}" if isinstance(cell, float) and cell.is_integer() else str(cell)


def csv_of(
    cells: Cells,
    delimiter: str = ",",
    write: Callable[[Any], str] = as_text,
    quoting: Any = csv.QUOTE_MINIMAL,
    end: str = "\n",
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(cells)
    writer.writerows([write(cell) for cell in row] for row in zip(*cells.values(), strict=True))
    return text.getvalue()


def rows_of(cells: Cells) -> list[dict[str, Any]]:
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def split_of(cells: Cells) -> dict[str, Any]:
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    return {"columns": list(cells), "index": list(range(len(rows))), "data": rows}


def parquet_of(cells: Cells) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(cells), file)
    return file.getvalue()


def xlsx_of(cells: Cells, above: Sequence[Any] = ()) -> bytes:
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    return workbook({"Data": [*above, list(cells), *rows]})


def german(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")
    return as_text(cell)


def english(cell: Any) -> str:
    return f"{cell:,.2f}" if isinstance(cell, float) else as_text(cell)


def renamed(cells: Cells, change: Callable[[str], str]) -> Cells:
    return {change(name): values for name, values in cells.items()}


def with_texts(cells: Cells, name: str, change: Callable[[str], str]) -> Cells:
    return cells | {name: [None if c is None else change(c) for c in cells[name]]}


CONTAINERS: dict[str, Callable[[Cells], Any]] = {
    "columns": lambda c: c,
    "table": lambda c: {"table": c},
    "records": rows_of,
    "split": split_of,
    "index": lambda c: {str(i): row for i, row in enumerate(rows_of(c))},
    "nested columns": lambda c: {n: {str(i): x for i, x in enumerate(v)} for n, v in c.items()},
    "instances": lambda c: {"instances": rows_of(c)},
    "CSV text": csv_of,
    "CSV": lambda c: csv_of(c).encode(),
    "CRLF and quotes": lambda c: csv_of(c, quoting=csv.QUOTE_ALL, end="\r\n").encode(),
    "semicolons": lambda c: csv_of(c, ";").encode(),
    "tabs in UTF-16": lambda c: csv_of(c, "\t").encode("utf-16"),
    "bars and a mark": lambda c: csv_of(c, "|").encode("utf-8-sig"),
    "GZIP": lambda c: gzip.compress(csv_of(c).encode()),
    "JSON Lines": lambda c: "\n".join(map(json.dumps, rows_of(c))).encode(),
    "sparse JSON Lines": lambda c: "\n".join(
        json.dumps({n: x for n, x in row.items() if x is not None}) for row in rows_of(c)
    ).encode(),
    "Parquet": parquet_of,
    "XLSX": xlsx_of,
    "XLSX with a title": lambda c: xlsx_of(c, [["Report"], [None]]),
    "German": lambda c: csv_of(c, ";", german).encode(),
    "English thousands": lambda c: csv_of(c, write=english).encode(),
    "missing marks": lambda c: csv_of(
        c, write=lambda x: "#N/A" if x is None else as_text(x)
    ).encode(),
    "row numbers": lambda c: csv_of({"": [float(i) for i in range(len(c["age"]))], **c}).encode(),
    "other columns": lambda c: {**c, "note": ["x"] * len(c["age"]), "id": c["rate"]},
    "empty rows": lambda c: (csv_of(c) + "," * (len(c) - 1) + "\n").encode(),
    "names in capitals": lambda c: renamed(c, str.upper),
    "names with underscores": lambda c: renamed(c, lambda name: name.replace("-", "_")),
    "names with spaces": lambda c: renamed(c, lambda name: name.replace("-", " ").title()),
    "categories in capitals": lambda c: with_texts(c, "work-class", str.upper),
    "categories with spaces": lambda c: with_texts(
        c, "work-class", lambda text: f" {text.replace('-', ' ')} "
    ),
    "full months": lambda c: with_texts(c, "month", lambda m: m.title() + "tember" * (m == "sep")),
    "truth values": lambda c: with_texts(c, "owner", lambda text: str(text == "yes")),
    "days as floats": lambda c: with_texts(c, "day", lambda text: f"{int(text):.1f}"),
    "days with zeros": lambda c: with_texts(c, "day", lambda text: f"{int(text):02}"),
    "days as numbers": lambda c: c | {"day": [None if d is None else float(d) for d in c["day"]]},
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_gives_the_same_arrays_in_every_form(seed):
    rng = np.random.default_rng(seed)
    cells = table(rng)
    expected = arrays(cells)
    assert expected["numbers"].shape == (len(cells["age"]), len(NUMBERS))
    for form, change in CONTAINERS.items():
        order = rng.permutation(len(cells))
        shuffled = {list(cells)[index]: list(cells.values())[index] for index in order}
        found = arrays(change(shuffled))
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=f"{form}: {name}")


@pytest.mark.parametrize("seed", SEEDS)
def test_shuffled_rows_give_shuffled_arrays(seed):
    rng = np.random.default_rng(seed)
    cells = table(rng)
    order = rng.permutation(len(cells["age"]))
    expected, found = arrays(cells), arrays({n: [v[i] for i in order] for n, v in cells.items()})
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array[order])


@pytest.mark.parametrize("seed", SEEDS)
def test_another_meaning_gives_other_arrays_or_a_note(seed):
    rng = np.random.default_rng(seed)
    cells = table(rng)
    last = len(cells["age"]) - 1
    expected = arrays(cells)
    changes: dict[str, tuple[str, Any, NoteCode | None]] = {
        "another number": ("age", cells["age"][last] + 1, None),
        "another category": ("work-class", "?", NoteCode.FILLED),
        "a category of no schema": ("work-class", "Astronaut", NoteCode.UNKNOWN_CATEGORY),
        "a missing number": ("rate", None, NoteCode.FILLED),
        "another unit": ("rate", 1e6, NoteCode.UNUSUAL),
        "a month that is none": ("month", "Thermidor", NoteCode.UNKNOWN_CATEGORY),
    }
    for what, (name, cell, code) in changes.items():
        changed = {**cells, name: [*cells[name][:last], cell]}
        with collect_notes() as notes:
            found = arrays(changed)
        assert any(not np.array_equal(found[key], expected[key]) for key in expected), what
        assert code is None or code in {note.code for note in notes}, what


@pytest.mark.parametrize("seed", SEEDS)
def test_missing_cells_are_marked_and_counted(seed):
    cells = table(np.random.default_rng(seed))
    with collect_notes() as notes:
        found = arrays(cells)
    missing = sum(cell is None for values in cells.values() for cell in values)
    marked = int(found["missing"].sum()) + int((found["categories"] == 0).sum())
    assert marked == missing
    assert sum(note.count for note in notes if note.code is NoteCode.FILLED) == missing
    assert not any(math.isnan(x) for x in found["numbers"].ravel())
