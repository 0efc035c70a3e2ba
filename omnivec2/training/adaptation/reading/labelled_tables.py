"""A CSV, TSV or Parquet table: a row per input, or per moment of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.adaptation.reading.labelled_rows import Label, Row, quantity
from omnivec2.training.data.table_files import as_name, json_cell, read_table


def read_rows(part: DataPart, rules: AdaptationRules, *, regression: bool) -> list[Row]:
    """Return the rows of one or several tables of the same columns.

    Args:
        part: The tables, and the names of their columns.
        rules: The modality's rules.
        regression: Whether labels are quantities.

    Raises:
        InvalidInputError: A column is missing, or a cell is not usable; the message names file
            and row.
    """
    return [
        row
        for path in part.path
        for row in _rows_of(Path(path), part, rules, regression=regression)
    ]


def _rows_of(path: Path, part: DataPart, rules: AdaptationRules, *, regression: bool) -> list[Row]:
    frame = read_table(path)
    label = part.label or "label"
    wanted = [label.strip() for label in label.split(",")] if regression else [label]
    _require(path, frame, [*wanted, *part.input, *part.only])
    chosen = [i for i in range(frame.rows) if _is_chosen(frame, part, i)]
    if part.group is not None:
        return _recordings(path, frame, part, wanted, chosen, regression=regression)
    left = [name for name in frame.columns if name not in {*wanted, *part.only}]
    inputs = list(part.input) or rules.input_columns(path, left)
    rows = []
    for index in chosen:
        where = f"{path.name}, row {index + 1}"
        cells = [frame.columns[name][index] for name in inputs]
        value = rules.row_value(inputs, cells, path.parent)
        rows.append(Row(where, value, _label(frame, wanted, index, where, regression)))
    return rows


def _require(path: Path, frame: Frame, names: Sequence[str]) -> None:
    try:
        frame.require(names)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error


def _is_chosen(frame: Frame, part: DataPart, index: int) -> bool:
    return all(as_name(frame.columns[n][index]) in values for n, values in part.only.items())


def _label(frame: Frame, columns: Sequence[str], index: int, where: str, regression: bool) -> Label:
    cells = [frame.columns[name][index] for name in columns]
    if regression:
        return tuple(quantity(cell, where) for cell in cells)
    name = as_name(cells[0])
    if not name:
        raise InvalidInputError(f"{where}: the label (column {columns[0]!r}) is empty")
    return name


def _recordings(
    path: Path,
    frame: Frame,
    part: DataPart,
    label: Sequence[str],
    chosen: Sequence[int],
    *,
    regression: bool,
) -> list[Row]:
    """Join the rows with the same value in the grouping column, in their order, to recordings."""
    group = str(part.group)
    _require(path, frame, [group])
    members: dict[str, list[int]] = {}
    for index in chosen:
        members.setdefault(as_name(frame.columns[group][index]), []).append(index)
    kept = list(part.input) or [
        name for name in frame.columns if name not in {*label, group, *part.only}
    ]
    columns = {
        column: frame.numbers(column) if frame.is_numeric(column) else frame.columns[column]
        for column in kept
    }
    rows = []
    for name, indices in members.items():
        where = f"{path.name}, {group} {name}"
        labels = {_label(frame, label, index, where, regression) for index in indices}
        if len(labels) > 1:
            raise InvalidInputError(f"{where}: one recording has {len(labels)} different labels")
        value: JsonValue = {
            column: [json_cell(cells[index]) for index in indices]
            for column, cells in columns.items()
        }
        rows.append(Row(where, value, labels.pop()))
    return rows
