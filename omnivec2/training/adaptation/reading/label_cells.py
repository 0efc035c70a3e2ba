"""Cells of tables and entries of arrays -> labels: a class, tags, or quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.labelled_rows import Label, quantity
from omnivec2.training.data.blocks.examples import Example, Origin
from omnivec2.training.data.blocks.targets.class_targets import TagsTarget
from omnivec2.training.data.table_files import as_name

_SEPARATORS = (";", "|", ",")
"""Signs between the tags of one cell; the first that a cell of the column has."""


def label_columns(label: str, form: AnswerForm) -> list[str]:
    """Return the columns that ``--labels`` names: of a class one, of others any number."""
    return [label] if form is AnswerForm.CLASS else [name.strip() for name in label.split(",")]


class LabelColumns:
    """The columns of a table that hold the labels.

    Args:
        frame: The table.
        columns: The columns: of a class one; of tags one whose cells name them, or a column of
            0 and 1 for each.
        form: The form of the labels.
    """

    def __init__(self, frame: Frame, columns: Sequence[str], form: AnswerForm) -> None:
        self.columns = {name: frame.columns[name] for name in columns}
        self.form = form
        cells = [str(cell) for cell in next(iter(self.columns.values())).tolist()]
        self.separator = next((s for s in _SEPARATORS if any(s in cell for cell in cells)), ",")

    def label(self, row: int, where: str) -> Label:
        """Return the label of a row.

        Args:
            row: The index of the row.
            where: The file and row, for messages.

        Raises:
            InvalidInputError: A cell is empty, or not what the form needs.
        """
        cells = {name: column[row] for name, column in self.columns.items()}
        return _read_label(self.form, cells, where, self.separator)


def _read_label(form: AnswerForm, cells: Mapping[str, Any], where: str, separator: str) -> Label:
    if form is AnswerForm.QUANTITIES:
        return tuple(quantity(cell, where) for cell in cells.values())
    if form is AnswerForm.TAGS:
        return _tags(cells, where, separator)
    column, cell = next(iter(cells.items()))
    name = as_name(cell)
    if not name:
        raise InvalidInputError(
            f"{where}: the label (column {column!r}) is empty; fill it in, or take the row out"
        )
    return name


def array_label(form: AnswerForm, entry: Any, names: Sequence[str], where: str) -> Label:
    """Return the label of one input that is an entry of an array.

    Args:
        form: The form of the labels.
        entry: The entry; of tags, a row of zeros and ones.
        names: The names of such tags.
        where: The file and row, for messages.

    Raises:
        InvalidInputError: The entry is not what the form needs.
    """
    values = np.atleast_1d(entry).tolist()
    if form is AnswerForm.TAGS and len(values) > 1:
        return _tags(dict(zip(names, values, strict=True)), where)
    if form is AnswerForm.CLASS and len(values) > 1:
        raise InvalidInputError(
            f"{where}: {len(values)} labels for one input; expected one class, or give "
            "--task-family multi-label for tags"
        )
    cells = {str(number): value for number, value in enumerate(values)}
    return _read_label(form, cells, where, ",")


def _tags(cells: Mapping[str, Any], where: str, separator: str = ",") -> tuple[str, ...]:
    target: Any = cells if len(cells) > 1 else next(iter(cells.values()))
    try:
        return TagsTarget(separator=separator).parse(Example(None, target, Origin(where)))
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}") from error
