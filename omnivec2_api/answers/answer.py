"""Answers in Python: the JSON that the service gives, and what all families have in common.

An answer holds its JSON as it is in ``value``, so that an answer in this process and one over HTTP
are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import JsonValue


@dataclass(frozen=True)
class AnswerNote:
    """A remark on an input: what was guessed, ignored or cut of it.

    Attributes:
        code: The kind of the remark, such as ``cut``; docs/notes.md lists all.
        text: A sentence that says what was done, and how to avoid it.
        field: The part of the input that it is about; empty for the whole.
        count: The number of times that it happened.
    """

    code: str
    text: str = ""
    field: str = ""
    count: int = 1

    def to_json(self) -> dict[str, JsonValue]:
        """Return the note as JSON shows it; without a field if it is about the whole input."""
        field: dict[str, JsonValue] = {"field": self.field} if self.field else {}
        return {"code": self.code, **field, "count": self.count, "text": self.text}


@dataclass(frozen=True)
class Answer:
    """The answer of one head to one input.

    Attributes:
        route: The head, ``<modality>/<task>``.
        value: The answer as JSON, in the form of the service.
        notes: The remarks on the input.
        version: The version of the model that answered.
        explanations: The parts of the input that carried the answer, in the form of the service;
            none unless ``explain=True`` asked for them.
        request_id: The id of the request, for ``give_feedback``; empty for an answer in this
            process.
    """

    route: str
    value: JsonValue
    notes: tuple[AnswerNote, ...] = ()
    version: str = ""
    explanations: tuple[Mapping[str, JsonValue], ...] = ()
    # Two answers that say the same are equal, whoever asked.
    request_id: str = field(default="", compare=False)

    @property
    def rows(self) -> tuple[Self, ...]:
        """One answer for each part of the input: the rows of a table, the molecules of a file.

        An input in one part has one row.
        """
        return tuple(replace(self, value=value) for value in rows_of(self.value, self._is_row))

    def _is_row(self, value: JsonValue) -> bool:
        return True

    @property
    def _row(self) -> Any:
        """The value of the only row.

        Raises:
            ValueError: There are several rows, or none.
        """
        rows = rows_of(self.value, self._is_row)
        if len(rows) != 1:
            raise ValueError(f"{self.route}: the answer has {len(rows)} rows; see .rows")
        return rows[0]


def make_note(note: Mapping[str, Any]) -> AnswerNote:
    """Return a note of its JSON form."""
    return AnswerNote(
        str(note["code"]),
        str(note.get("text", "")),
        str(note.get("field") or ""),
        int(note.get("count", 1)),
    )


def rows_of(value: JsonValue, is_row: Callable[[JsonValue], bool]) -> list[JsonValue]:
    """Return the rows of an answer, which may lie in lists of lists: of inputs, and of parts."""
    if is_row(value) or not isinstance(value, list):
        return [value]
    return [row for item in value for row in rows_of(item, is_row)]
