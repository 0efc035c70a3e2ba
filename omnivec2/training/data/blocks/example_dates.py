"""Dates of examples, and the moments at which parts begin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.tables.times.date_columns import read_date_column
from omnivec2.training.data.blocks.examples import Example, Problem, ProblemKind
from omnivec2.training.data.table_files import as_name


def read_dates(examples: Sequence[Example], column: str, problems: list[Problem]) -> Array:
    """Return the moment of every example in seconds since 1970, NaN where there is none.

    Args:
        examples: The examples.
        column: The column of dates.
        problems: The list that the cells that are no dates are added to.
    """
    cells = [example.columns.get(column) for example in examples]
    seconds = np.full(len(cells), np.nan)
    rows: list[int] = []
    for row, cell in enumerate(cells):
        if isinstance(cell, np.datetime64):
            seconds[row] = cell.astype("datetime64[ms]").astype(np.int64) / 1000
        elif isinstance(cell, date):
            seconds[row] = np.datetime64(cell, "ms").astype(np.int64) / 1000
        elif not as_name(cell):
            problems.append(_bad_date(examples[row], column, cell))
        else:
            rows.append(row)
    while rows:
        read = read_date_column([as_name(cells[row]) for row in rows], column)
        if not isinstance(read, int):
            seconds[rows] = read.seconds
            break
        row = rows.pop(read)
        problems.append(_bad_date(examples[row], column, cells[row]))
    return seconds


def first_moment(known: Array, given: date | datetime | None, share: float) -> float:
    """Return the first second of a part: the given one, or where a share of examples ends."""
    if given is not None:
        return float(np.datetime64(given, "ms").astype(np.int64) / 1000)
    return float(known[min(int(share * len(known)), len(known) - 1)])


def _bad_date(example: Example, column: str, cell: Any) -> Problem:
    reason = f"column {column!r}: expected a date such as 2024-05-31, got {cell!r}"
    return Problem(ProblemKind.BAD_DATE, example.origin, reason)
