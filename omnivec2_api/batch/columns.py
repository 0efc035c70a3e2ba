"""The columns of a table of answers: their types, and an answer's values for them, by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from omnivec2.errors import InvalidInputError
from omnivec2.spec import TaskFamily
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import Classification, Forecast
from omnivec2_api.head_info import HeadInfo

Cells = dict[str, Any]
ColumnTypes = Mapping[str, str]
"""Column -> type: ``string``, ``int64``, ``float64``, ``vector:<size>``, or a name of
``table_writers``'s nested types."""

NOTES, ERROR = "notes", "error"
END_COLUMNS: ColumnTypes = {NOTES: "notes", ERROR: "string"}


@dataclass(frozen=True)
class FamilyColumns:
    """The columns of a family.

    Attributes:
        types: A call that returns the columns of a head.
        cells: A call that returns the values of a row of an answer.
    """

    types: Callable[[HeadInfo], ColumnTypes]
    cells: Callable[[Any], Cells]


def _classes(answer: Classification) -> Cells:
    scores = [{"label": label, "score": score} for label, score in answer.scores.items()]
    return {"label": answer.label, "score": answer.score, "scores": scores}


def _boxes(answer: Answer) -> Cells:
    found = cast(list[dict[str, Any]], answer.value)
    boxes = [{"label": one["label"], "score": one["score"], **one["box"]} for one in found]
    return {"count": len(boxes), "boxes": boxes}


def _segments(answer: Answer) -> Cells:
    """Return the masks of a picture as base64 PNG, or the labels of points."""
    value = cast(Any, answer.value)
    if isinstance(value, dict):
        return {"point_labels": value["labels"], "names": value["names"]}
    return {"regions": value}


def _segment_types(head: HeadInfo) -> ColumnTypes:
    if head.modality == "pointcloud":
        return {"point_labels": "integers", "names": "strings"}
    return {"regions": "regions"}


def _forecasts(answer: Forecast) -> Cells:
    forecasts = [
        {
            "target": series.target,
            "mean": series.mean.tolist(),
            "quantiles": [
                {"level": level, "values": values.tolist()}
                for level, values in series.quantiles.items()
            ],
        }
        for series in answer.series
    ]
    return {"forecasts": forecasts}


def _json_text(answer: Answer) -> Cells:
    return {"answer": answer.value}


FAMILY_COLUMNS: Mapping[str, FamilyColumns] = {
    TaskFamily.CLASSIFICATION: FamilyColumns(
        lambda head: {"label": "string", "score": "float64", "scores": "scores"}, _classes
    ),
    TaskFamily.DETECTION: FamilyColumns(lambda head: {"count": "int64", "boxes": "boxes"}, _boxes),
    TaskFamily.SEGMENTATION: FamilyColumns(_segment_types, _segments),
    TaskFamily.REGRESSION: FamilyColumns(
        lambda head: dict.fromkeys(head.targets, "float64"), lambda answer: answer.values
    ),
    TaskFamily.FORECASTING: FamilyColumns(lambda head: {"forecasts": "forecasts"}, _forecasts),
    TaskFamily.SUMMARIZATION: FamilyColumns(
        lambda head: {"summary": "string"}, lambda answer: {"summary": answer.text}
    ),
    TaskFamily.EMBEDDING: FamilyColumns(
        lambda head: {"embedding": f"vector:{head.embedding_size}"},
        lambda answer: {"embedding": answer.value},
    ),
}
_ANY_FAMILY = FamilyColumns(lambda head: {"answer": "json"}, _json_text)


@dataclass(frozen=True)
class AnswerColumns:
    """The columns of the answers of several heads.

    Attributes:
        heads: The heads; with several, the name of its task stands before each column of a head.
    """

    heads: tuple[HeadInfo, ...]

    @property
    def types(self) -> ColumnTypes:
        """The columns of all heads -> their types."""
        return {
            self._column(head, name): kind
            for head in self.heads
            for name, kind in _family(head).types(head).items()
        }

    def rows(self, answers: Mapping[str, Answer]) -> list[Cells]:
        """Return the values for each row of an input: one, unless it has several parts.

        Args:
            answers: The answers by task.

        Raises:
            InvalidInputError: The heads see different numbers of rows in the input.
        """
        by_head = [answers[head.task].rows for head in self.heads]
        if len({len(rows) for rows in by_head}) > 1:
            counts = ", ".join(
                f"{head.task} {len(rows)}" for head, rows in zip(self.heads, by_head, strict=True)
            )
            raise InvalidInputError(
                f"the heads answer in different numbers of rows ({counts}); ask them one by one",
                field="inputs",
            )
        return [self._cells(rows) for rows in zip(*by_head, strict=True)]

    def _cells(self, rows: tuple[Answer, ...]) -> Cells:
        return {
            self._column(head, name): value
            for head, row in zip(self.heads, rows, strict=True)
            for name, value in _family(head).cells(row).items()
        }

    def _column(self, head: HeadInfo, name: str) -> str:
        is_clear = len(self.heads) == 1 or name == head.task
        return name if is_clear else f"{head.task}_{name}"


def _family(head: HeadInfo) -> FamilyColumns:
    return FAMILY_COLUMNS.get(head.family, _ANY_FAMILY)
