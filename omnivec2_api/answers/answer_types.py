"""The answers of each task family, with typed access; ``ANSWER_TYPES`` finds their classes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import TaskFamily
from omnivec2_api.answers.answer import Answer, make_note, rows_of


@dataclass(frozen=True)
class Classification(Answer):
    """The classes of an input with their scores, best first."""

    @property
    def label(self) -> str:
        """The best class."""
        row = self._row
        return str(row if isinstance(row, str) else row[0]["label"])

    @property
    def score(self) -> float:
        """The score of the best class; not a number for a table in Hugging Face's form."""
        row = self._row
        return float("nan") if isinstance(row, str) else float(row[0]["score"])

    @property
    def scores(self) -> dict[str, float]:
        """The returned classes with their scores, best first; ``top_k`` sets how many."""
        row = self._row
        if isinstance(row, str):
            return {}
        return {str(entry["label"]): float(entry["score"]) for entry in row}

    def _is_row(self, value: JsonValue) -> bool:
        return isinstance(value, str) or _is_list_of(dict, value)


@dataclass(frozen=True)
class DetectedObject:
    """An object in a picture.

    Attributes:
        label: The class.
        score: The probability of the class.
        box: The corners in pixels: xmin, ymin, xmax, ymax; the maxima lie just outside.
    """

    label: str
    score: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Detection(Answer):
    """The objects in a picture, best first."""

    @property
    def objects(self) -> tuple[DetectedObject, ...]:
        """The objects; none if nothing scores above the threshold."""
        corners = ("xmin", "ymin", "xmax", "ymax")
        return tuple(
            DetectedObject(
                str(found["label"]),
                float(found["score"]),
                tuple(int(found["box"][corner]) for corner in corners),  # type: ignore[arg-type]
            )
            for found in self._row
        )

    def _is_row(self, value: JsonValue) -> bool:
        return value == [] or _is_list_of(dict, value)


@dataclass(frozen=True)
class Region:
    """The pixels of one class.

    Attributes:
        label: The class.
        score: The mean probability of the class inside of its mask.
        png: The mask as a PNG of the input's size, 255 inside and 0 outside.
    """

    label: str
    score: float
    png: bytes

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask, bool (height, width)."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as picture:
            return np.asarray(picture) > 0


@dataclass(frozen=True)
class Segmentation(Answer):
    """The class of every pixel of a picture or cube, or of every point of a cloud."""

    @property
    def regions(self) -> tuple[Region, ...]:
        """The classes of a picture that have pixels.

        Raises:
            ValueError: The input is a point cloud; see ``point_labels``.
        """
        row = self._row
        if isinstance(row, dict):
            raise ValueError(f"{self.route} labels points; see .point_labels")
        return tuple(
            Region(str(r["label"]), float(r["score"]), base64.b64decode(r["mask"])) for r in row
        )

    @property
    def point_labels(self) -> tuple[str | None, ...]:
        """The class of every point; None for points without coordinates.

        Raises:
            ValueError: The input is a picture; see ``regions``.
        """
        row = self._row
        if not isinstance(row, dict):
            raise ValueError(f"{self.route} labels pixels; see .regions")
        names = row["names"]
        return tuple(None if index is None else names[index] for index in row["labels"])

    def _is_row(self, value: JsonValue) -> bool:
        return value == [] or isinstance(value, dict) or _is_list_of_regions(value)


@dataclass(frozen=True)
class Regression(Answer):
    """Quantities in the units of the head's targets."""

    @property
    def values(self) -> dict[str, float]:
        """The value of each target, by its name."""
        row = self._row
        if isinstance(row, int | float):
            return {self.route.partition("/")[2]: float(row)}
        return {str(entry["label"]): float(entry["value"]) for entry in row}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each target, by its name."""
        row = self._row
        return {} if isinstance(row, int | float) else {e["label"]: e["unit"] for e in row}

    def _is_row(self, value: JsonValue) -> bool:
        return isinstance(value, int | float) or _is_list_of(dict, value)


@dataclass(frozen=True)
class SeriesForecast:
    """The next steps of one series, in the units of the input.

    Attributes:
        target: The name of the series.
        mean: The expected values, float64 (steps,).
        quantiles: The quantiles that the head has: level -> values, float64 (steps,).
    """

    target: str
    mean: npt.NDArray[np.float64]
    quantiles: Mapping[float, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Forecast(Answer):
    """The next steps of every series of an input."""

    @property
    def series(self) -> tuple[SeriesForecast, ...]:
        """The forecasts, in the order of the series."""
        return tuple(
            SeriesForecast(
                str(entry["target"]),
                np.asarray(entry["mean"], np.float64),
                {
                    float(level): np.asarray(values, np.float64)
                    for level, values in (entry.get("quantiles") or {}).items()
                },
            )
            for entry in self._row["predictions"]
        )

    def _is_row(self, value: JsonValue) -> bool:
        return isinstance(value, dict)


@dataclass(frozen=True)
class Summary(Answer):
    """A text that the head has written."""

    @property
    def text(self) -> str:
        """The summary."""
        return str(self._row["summary_text"])

    def _is_row(self, value: JsonValue) -> bool:
        return isinstance(value, dict)


@dataclass(frozen=True)
class Embedding(Answer):
    """The network's features as vectors, one for each row. NumPy takes it as an array."""

    @property
    def vector(self) -> npt.NDArray[np.float32]:
        """The vector of an input in one part, float32 (size,)."""
        return np.asarray(self._row, np.float32)

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """The vectors of all rows, float32 (rows, size)."""
        return np.asarray(rows_of(self.value, self._is_row), np.float32)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        vectors = self.vectors
        return (vectors[0] if len(vectors) == 1 else vectors).astype(dtype or np.float32)

    def _is_row(self, value: JsonValue) -> bool:
        return isinstance(value, list) and not any(isinstance(v, list) for v in value)


ANSWER_TYPES: Mapping[str, type[Answer]] = {
    TaskFamily.CLASSIFICATION: Classification,
    TaskFamily.DETECTION: Detection,
    TaskFamily.SEGMENTATION: Segmentation,
    TaskFamily.REGRESSION: Regression,
    TaskFamily.FORECASTING: Forecast,
    TaskFamily.SUMMARIZATION: Summary,
    TaskFamily.EMBEDDING: Embedding,
}


def as_embedding(answer: Answer) -> Embedding:
    """Return the answer of an embedding head as what it is.

    Raises:
        InvalidParameterError: The head is of another family.
    """
    if not isinstance(answer, Embedding):
        raise InvalidParameterError(f"{answer.route} gives no vectors", field="task")
    return answer


def make_answer(
    route: str,
    family: str,
    value: JsonValue,
    notes: Sequence[Mapping[str, JsonValue]] = (),
    version: str = "",
    request_id: str = "",
) -> Answer:
    """Return an answer of the class of its family; of a family that is new here, an ``Answer``.

    Args:
        route: The head that answered.
        family: The family of the head.
        value: The answer as JSON.
        notes: The notes in the form of ``AnswerNote.to_json``.
        version: The version of the model.
        request_id: The id of the request.
    """
    kind = ANSWER_TYPES.get(family, Answer)
    explained: Any = value
    made = tuple(make_note(note) for note in notes)
    if isinstance(explained, dict) and explained.keys() == {"answer", "explanations"}:
        parts = tuple(explained["explanations"])
        return kind(route, explained["answer"], made, version, parts, request_id)
    return kind(route, value, made, version, request_id=request_id)


def _is_list_of(kind: type, value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _is_list_of_regions(value: JsonValue) -> bool:
    """Whether a list holds regions of one picture, rather than the labels of several clouds."""
    return _is_list_of(dict, value) and all("mask" in v for v in value)  # type: ignore[union-attr, operator]
