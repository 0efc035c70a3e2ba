"""Classification: logits -> labels with scores, best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import InvalidParameterError
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.postprocess.numeric import (
    Floats,
    checked_labels,
    checked_output,
    is_averaged,
    sigmoid,
    softmax,
)
from omnivec2.spec import HeadSpec, Modality, TaskFamily

_DEFAULT_TOP_K = 5
"""Hugging Face's pipelines return five classes for pictures and sounds."""


class LabelScore(BaseModel):
    """A class and its score."""

    label: str
    score: float = Field(description="probability, unless function_to_apply says otherwise")


class ClassificationParameters(Parameters):
    """Hugging Face's parameters of image, audio and text classification."""

    top_k: int | None = Field(
        default=None,
        ge=1,
        description="number of classes to return, at most all; default 5, for text all",
    )
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None, description="function that turns logits into scores; default softmax"
    )


class ClassificationPostprocessor(Postprocessor):
    """Makes ``[{"label", "score"}, …]``; for a table with ``form="table"`` only the labels.

    Samples that are parts of one input (windows of a recording) are averaged after the
    function is applied; independent samples (rows) get a list each.
    """

    family = TaskFamily.CLASSIFICATION
    parameters_type = ClassificationParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: ClassificationParameters,
    ) -> JsonValue:
        """Make the answer to one input; see the base class."""
        logits = checked_output(outputs, "logits", spec, ndim=2)
        names = checked_labels(spec, logits.shape[1])
        scores = _apply(logits, parameters.function_to_apply)
        if context.get("form") == "table":
            return [names[index] for index in scores.argmax(axis=1)]
        count = _count(parameters, spec)
        if is_averaged(context, len(scores)):
            return _ranked(scores.mean(axis=0), names, count)
        rows: list[JsonValue] = [_ranked(row, names, count) for row in scores]
        return rows

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """Make the response body; the answer to a text is always in a list, as clients expect."""
        return super().combine(results, batched=batched or _is_text(spec), spec=spec)

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        if _is_text(spec):
            return cast(type[Any], list[list[LabelScore]])
        if spec.modality is Modality.TABULAR:
            return cast(type[Any], list[list[LabelScore]] | list[str])
        return cast(type[Any], list[LabelScore])

    def batch_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to a list of inputs; a text has the same."""
        return self.response_schema(spec) if _is_text(spec) else super().batch_schema(spec)


_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}


def _is_text(spec: HeadSpec) -> bool:
    return spec.modality is Modality.TEXT


def _apply(logits: Floats, function: str | None) -> Floats:
    return _FUNCTIONS[function or "softmax"](logits)


def _count(parameters: ClassificationParameters, spec: HeadSpec) -> int:
    total = len(spec.labels)
    if parameters.top_k is None:
        return total if _is_text(spec) else min(_DEFAULT_TOP_K, total)
    if parameters.top_k > total:
        raise InvalidParameterError(
            f"top_k must be 1 to {total}, the number of classes, got {parameters.top_k}",
            field="parameters.top_k",
        )
    return parameters.top_k


def _ranked(scores: Floats, names: tuple[str, ...], count: int) -> list[JsonValue]:
    # A stable sort keeps the head's order among equal scores.
    order = np.argsort(-scores, kind="stable")[:count]
    return [{"label": names[index], "score": float(scores[index])} for index in order]


POSTPROCESSOR = ClassificationPostprocessor
