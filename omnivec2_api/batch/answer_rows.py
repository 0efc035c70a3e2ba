"""What becomes of an input's answers, or of its failure: rows of the table, or the end of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omnivec2.errors import (
    AccessError,
    InputError,
    InvalidParameterError,
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    UnknownModelError,
)
from omnivec2_api.answers.answer import Answer
from omnivec2_api.batch.columns import END_COLUMNS, ERROR, NOTES, AnswerColumns, Cells, ColumnTypes
from omnivec2_api.batch.items import Item
from omnivec2_api.batch.table_source import ROW_COLUMN
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.predictor import TaskAnswers

_MOST_UNAVAILABLE = 8
"""Failures in a row that are no input's own: then the service or the engine is gone."""


class AnswerRows:
    """Makes the rows of inputs, one input after the other.

    Args:
        heads: The heads that answer.
        has_parts: Whether an input may have several rows.
    """

    def __init__(self, heads: tuple[HeadInfo, ...], *, has_parts: bool) -> None:
        self._answers, self._has_parts = AnswerColumns(heads), has_parts
        self._answered = False
        self._unavailable = 0

    @property
    def columns(self) -> ColumnTypes:
        """The columns of all rows, after those that name an input."""
        part = {ROW_COLUMN: "int64"} if self._has_parts else {}
        return {**part, **self._answers.types, **END_COLUMNS}

    def rows(self, item: Item, result: TaskAnswers | OmniVecError) -> list[Cells]:
        """Return the rows of one input: its answers, or its error.

        Raises:
            OmniVecError: The failure is not the input's own: no other input will be answered.
        """
        if isinstance(result, OmniVecError):
            self._check_failure(result)
            return [{**item.key, ERROR: str(result)}]
        self._answered, self._unavailable = True, 0
        try:
            rows = self._answers.rows(result)
        except InputError as error:
            return [{**item.key, ERROR: str(error)}]
        notes = _notes(result.values())
        if len(rows) != 1 and not (rows and self._has_parts):
            message = f"expected one input, got {len(rows)}"
            return [{**item.key, NOTES: notes, ERROR: message}]
        if not self._has_parts:
            return [{**item.key, **rows[0], NOTES: notes}]
        return [
            {**item.key, ROW_COLUMN: number, **row, NOTES: notes} for number, row in enumerate(rows)
        ]

    def _check_failure(self, error: OmniVecError) -> None:
        of_request = isinstance(error, AccessError | UnknownModelError | InvalidParameterError)
        if of_request and not self._answered:
            raise error
        if isinstance(error, ModelNotReadyError | OverloadedError | AccessError):
            self._unavailable += 1
            if self._unavailable >= _MOST_UNAVAILABLE:
                raise error


def _notes(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    notes = {note: None for answer in answers for note in answer.notes}
    return [{"field": None, **note.to_json()} for note in notes]
