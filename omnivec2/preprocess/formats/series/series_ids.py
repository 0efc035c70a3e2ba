"""Several series in one table: long format, in which a column names the series of each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.formats.tables.times.time_numbers import name_words, word_set
from omnivec2.preprocess.notes import NoteCode, note

ID_NAMES = word_set(
    "unique_id item_id series_id ts_id tsid series id series_name seriesid itemid uniqueid "
    "time_series_id timeseries_id id_series"
)
"""The names of the column of ids in Nixtla's, GluonTS's, AutoGluon's and Darts' long tables."""

_ID_WORDS = word_set(
    "id ids identifier series item unit group key entity sensor meter station store shop device "
    "machine asset location site channel product sku variable metric name symbol ticker country "
    "region subject user patient customer node city"
)
_MOST_ID_COLUMNS = 4

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SeriesRows:
    """The rows of one series.

    Attributes:
        label: The id of the series; ids of several columns are joined by a slash. None if the
            table holds one series.
        rows: The indices of its rows, an int64 array, in the order of the table.
    """

    label: str | None
    rows: Rows


@dataclass(frozen=True)
class SeriesSplit:
    """A table taken apart.

    Attributes:
        columns: The columns that name the series; none if the table is not in long format.
        series: The series, in the order of their first rows.
    """

    columns: tuple[str, ...]
    series: tuple[SeriesRows, ...]


def split_series(
    frame: Frame, times: FloatColumn | None, *, kept: Sequence[str] = ()
) -> SeriesSplit:
    """Find the columns that name the series of each row, and the rows of each series.

    A column is taken for ids if it is called so, or if times repeat and do not repeat any more
    within the rows of each of its values.

    Args:
        frame: The table without its columns of times.
        times: The times of the rows; None if the table has none.
        kept: The columns that are known to hold values.
    """
    whole = SeriesSplit((), (SeriesRows(None, np.arange(frame.rows)),))
    if not frame.named or frame.rows < 2:
        return whole
    candidates = [name for name in frame.columns if name not in kept]
    called = [name for name in candidates if is_called_id(name) and _may_be_ids(frame, name)]
    if called and len(candidates) + len(kept) > 1:
        return split_by(frame, called[:1])
    if times is None or len(np.unique(times)) == len(times):
        return whole
    texts = [name for name in candidates if _is_category(frame, name)]
    numbers = _numbered_ids(frame, [name for name in candidates if name not in texts], times)
    combinations = [[name] for name in texts]
    combinations.append(texts[:_MOST_ID_COLUMNS])
    combinations += [[name] for name in numbers]
    combinations.append((texts + numbers)[:_MOST_ID_COLUMNS])
    for names in combinations:
        if names and _tells_apart(frame, names, times):
            note(
                NoteCode.GUESSED,
                f"rows with the same time are taken for several series, which "
                f"{' and '.join(map(repr, names))} tells apart; call the column unique_id",
                field=f"inputs.{names[0]}",
            )
            return split_by(frame, names)
    return whole


def _numbered_ids(frame: Frame, names: Sequence[str], times: FloatColumn) -> list[str]:
    """Return columns of few whole numbers that are called like ids, or as many as times repeat."""
    most = int(np.unique(times, return_counts=True)[1].max())
    found = []
    for name in names:
        if (values := _whole_numbers(frame, name)) is None:
            continue
        count = len(np.unique(values))
        is_like_id = bool(set(name_words(name)) & _ID_WORDS)
        if (is_like_id or count == most) and 1 < count <= frame.rows // 3:
            found.append(name)
    return found


def is_called_id(name: str) -> bool:
    """Whether a column's name is one of those that libraries of time series give ids."""
    plain = "_".join(name_words(name))
    return plain in ID_NAMES or plain.replace("_", "") in ID_NAMES


def _may_be_ids(frame: Frame, name: str) -> bool:
    if has_one_row_each(frame, name):
        return False
    values = _whole_numbers(frame, name)
    if values is None:
        return not frame.is_numeric(name)
    return len(np.unique(values)) <= frame.rows // 3


def has_one_row_each(frame: Frame, name: str) -> bool:
    """Whether a column has another value in every row: it names rows, not series."""
    labels = _labels(frame, [name])
    return len(set(labels)) == len(labels)


def _is_category(frame: Frame, name: str) -> bool:
    """Whether a column holds texts that repeat, and no numbers."""
    column = frame.columns[name]
    if column.dtype != object or frame.is_numeric(name):
        return False
    return len({cell for cell in column if isinstance(cell, str | bool)}) <= frame.rows // 2


def _whole_numbers(frame: Frame, name: str) -> FloatColumn | None:
    if not frame.is_numeric(name):
        return None
    try:
        values = frame.numbers(name)
    except ValueError:
        return None
    whole = np.isfinite(values).all() and (values == np.floor(values)).all()
    return values if whole else None


def _tells_apart(frame: Frame, names: Sequence[str], times: FloatColumn) -> bool:
    keys = set(zip(_labels(frame, names), times.tolist(), strict=True))
    return len(keys) == frame.rows


def split_by(frame: Frame, names: Sequence[str]) -> SeriesSplit:
    """Take the rows of each value of some columns together, in the order of their first rows."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(_labels(frame, names)):
        rows.setdefault(label, []).append(row)
    found = (SeriesRows(label, np.array(members)) for label, members in rows.items())
    return SeriesSplit(tuple(names), tuple(found))


def _labels(frame: Frame, names: Sequence[str]) -> list[str]:
    columns = [[_label(cell) for cell in frame.columns[name].tolist()] for name in names]
    return ["/".join(cells) for cells in zip(*columns, strict=True)]


def _label(cell: Any) -> str:
    if isinstance(cell, float) and math.isfinite(cell) and cell.is_integer():
        return str(int(cell))
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip()
