"""Tables of labelled series, wide or long: one row per series, or a column that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.label_cells import LabelColumns, label_columns
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.data.annotations.series.series_tables import (
    SeriesColumns,
    TableSeries,
    read_series,
)
from omnivec2.training.data.table_files import as_name, read_table


def read_labelled_series(part: DataPart, form: AnswerForm) -> list[Row]:
    """Return the rows of one or several tables of series.

    ::

        label,v1,v2,v3, …            a series per row, whose values stand in their order
        id,time,value,label          a step per row; --group names the column of ids

    Args:
        part: The tables, and the names of their columns.
        form: The form of the labels.

    Raises:
        InvalidInputError: A column is missing, a cell is not usable, or one series has several
            labels; the message names file and row.
    """
    rows: list[Row] = []
    for name in part.path:
        path = Path(name)
        frame = read_table(path)
        wanted = label_columns(part.label or "label", form)
        try:
            frame.require([*wanted, *part.input, *part.only])
        except InvalidInputError as error:
            hint = "" if part.label else "; give --labels, the column of the labels"
            raise InvalidInputError(f"{path}: {error}{hint}") from error
        labels = LabelColumns(frame, wanted, form)
        read = _series_of_rows if part.group is None else _series_of_groups
        rows += read(path, frame, part, labels)
    return rows


def _series_of_rows(path: Path, frame: Frame, part: DataPart, labels: LabelColumns) -> list[Row]:
    names = list(part.input) or [n for n in frame.columns if n not in {*labels.columns, *part.only}]
    if len(names) < 2:
        raise InvalidInputError(
            f"{path}: {len(names)} column of values besides the label; a series per row needs a "
            "column for each step, and a table of one step per row --group, the column that names "
            "the series"
        )
    try:
        values = np.stack([frame.numbers(name) for name in names], axis=1)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
    rows = []
    for index in _chosen(frame, part):
        where = f"{path.name}, row {index + 1}"
        known = np.flatnonzero(np.isfinite(values[index]))
        if not len(known):
            raise InvalidInputError(f"{where}: the row has no values; take it out")
        # Shorter series of one table are filled up behind their end.
        series = values[index, : known[-1] + 1]
        rows.append(Row(where, _json(series), labels.label(index, where)))
    return rows


def _series_of_groups(path: Path, frame: Frame, part: DataPart, labels: LabelColumns) -> list[Row]:
    chosen = set(_chosen(frame, part))
    columns = SeriesColumns(
        time=part.time,
        ids=(str(part.group),),
        targets=part.input,
        others=(*labels.columns, *part.only),
    )
    rows = []
    for series in _read(path, frame, columns):
        indices = [index for index in series.rows.tolist() if index in chosen]
        if not indices:
            continue
        where = f"{path.name}, {part.group} {series.name}"
        own = {labels.label(index, where) for index in indices}
        if len(own) > 1:
            raise InvalidInputError(f"{where}: one series has {len(own)} different labels")
        values = _json(series.values)
        rows.append(Row(where, values, own.pop(), series.name, is_joined=True))
    return rows


def _read(path: Path, frame: Frame, columns: SeriesColumns) -> list[TableSeries]:
    try:
        return read_series(frame, columns, path.name)
    except ArtifactError as error:
        raise InvalidInputError(str(error)) from error


def _chosen(frame: Frame, part: DataPart) -> list[int]:
    return [
        index
        for index in range(frame.rows)
        if all(as_name(frame.columns[n][index]) in values for n, values in part.only.items())
    ]


def _json(values: Any) -> Any:
    return {"target": [None if np.isnan(value) else float(value) for value in values]}
