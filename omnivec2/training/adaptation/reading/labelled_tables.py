"""A CSV, TSV or Parquet table: a row per input, or per moment of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.label_cells import LabelColumns, label_columns
from omnivec2.training.adaptation.reading.labelled_rows import Row, group_name
from omnivec2.training.data.table_files import as_name, json_cell, read_table


def read_rows(part: DataPart, rules: AdaptationRules, form: AnswerForm) -> list[Row]:
    """Return the rows of one or several tables of the same columns.

    Args:
        part: The tables, and the names of their columns.
        rules: The modality's rules.
        form: The form of the labels.

    Raises:
        InvalidInputError: A column is missing, or a cell is not usable; the message names file
            and row.
    """
    return [row for path in part.path for row in _rows_of(Path(path), part, rules, form)]


def _rows_of(path: Path, part: DataPart, rules: AdaptationRules, form: AnswerForm) -> list[Row]:
    frame = read_table(path)
    label = part.label or "label"
    wanted = label_columns(label, form)
    _require(path, frame, wanted, "" if part.label else "give --labels, the column of the labels")
    _require(path, frame, [*part.input, *part.only])
    chosen = [i for i in range(frame.rows) if _is_chosen(frame, part, i)]
    labels = LabelColumns(frame, wanted, form)
    if part.group is not None:
        _require(path, frame, [part.group])
    left = [name for name in frame.columns if name not in {*wanted, part.group, *part.only}]
    if part.group is not None and rules.rows_are_moments(frame, part.input or left):
        return _recordings(path, frame, part, labels, chosen)
    inputs = list(part.input) or rules.input_columns(path, left)
    rows = []
    for index in chosen:
        where = f"{path.name}, row {index + 1}"
        cells = [frame.columns[name][index] for name in inputs]
        value = rules.row_value(inputs, cells, path.parent)
        group = None
        if part.group is not None:
            group = group_name(frame.columns[part.group][index], part.group, where)
        rows.append(Row(where, value, labels.label(index, where), group))
    return rows


def _require(path: Path, frame: Frame, names: Sequence[str], hint: str = "") -> None:
    try:
        frame.require(names)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}{'; ' * bool(hint)}{hint}") from error


def _is_chosen(frame: Frame, part: DataPart, index: int) -> bool:
    return all(as_name(frame.columns[n][index]) in values for n, values in part.only.items())


def _recordings(
    path: Path,
    frame: Frame,
    part: DataPart,
    labels: LabelColumns,
    chosen: Sequence[int],
) -> list[Row]:
    """Join the rows with the same value in the grouping column, in their order, to recordings."""
    group = str(part.group)
    members: dict[str, list[int]] = {}
    for index in chosen:
        members.setdefault(as_name(frame.columns[group][index]), []).append(index)
    kept = list(part.input) or [
        name for name in frame.columns if name not in {*labels.columns, group, *part.only}
    ]
    columns = {
        column: frame.numbers(column) if frame.is_numeric(column) else frame.columns[column]
        for column in kept
    }
    rows = []
    for name, indices in members.items():
        where = f"{path.name}, {group} {name}"
        own = {labels.label(index, where) for index in indices}
        if len(own) > 1:
            raise InvalidInputError(f"{where}: one recording has {len(own)} different labels")
        value: JsonValue = {
            column: [json_cell(cells[index]) for index in indices]
            for column, cells in columns.items()
        }
        rows.append(Row(where, value, own.pop(), name, is_joined=True))
    return rows
