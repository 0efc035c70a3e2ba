"""Classification: logits -> labels with scores, best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import InvalidParameterError, ModelNotReadyError
from omnivec2.postprocess.base import Array, ExplainableParameters, Postprocessor
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


class ClassificationParameters(ExplainableParameters):
    """Hugging Face's parameters of image, audio and text classification."""

    top_k: int | None = Field(
        default=None,
        ge=1,
        description="number of classes to return, at most all; default 5, for text all",
    )
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None,
        description="function that turns logits into scores; default softmax, and sigmoid for "
        "heads that give any number of labels",
    )
    threshold: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="minimum score of a label; by default, a head that gives any number of labels "
        "has a threshold of its own for each, unless top_k is given",
    )


class ClassificationPostprocessor(Postprocessor):
    """Makes ``[{"label", "score"}, …]``; for a table with ``form="table"`` only the labels.

    Of a head with thresholds, which gives any number of labels, it is those at or above them.
    Logits are divided by the head's temperature before they become probabilities. Samples that are
    parts of one input (windows of a recording) are averaged after the function is applied;
    independent samples (rows) get a list each.
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
        default = "sigmoid" if spec.is_multi_label else "softmax"
        function = parameters.function_to_apply or default
        if function != "none" and spec.temperature != 1.0:
            logits = logits.astype(np.float64) / spec.temperature
        scores = _FUNCTIONS[function](logits)
        least = _least_scores(parameters, spec)
        if context.get("form") == "table":
            return _table_labels(scores, names, least)
        count = _count(parameters, spec)
        if is_averaged(context, len(scores)):
            return _ranked(scores.mean(axis=0), names, count, least)
        rows: list[JsonValue] = [_ranked(row, names, count, least) for row in scores]
        return rows

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """Make the response body; the answer to a text is always in a list, as clients expect."""
        return super().combine(results, batched=batched or _is_text(spec), spec=spec)

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        if _is_text(spec):
            return cast(type[Any], list[list[LabelScore]])
        if spec.modality is Modality.TABULAR:
            labels = list[list[str]] if spec.is_multi_label else list[str]
            return cast(type[Any], list[list[LabelScore]] | labels)
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


def _least_scores(parameters: ClassificationParameters, spec: HeadSpec) -> Floats | None:
    """Return the minimum score of each class, or None if all classes are answered.

    The head's own thresholds are probabilities: they do not apply to what another function gives,
    or where a number of labels is requested.

    Raises:
        ModelNotReadyError: the spec has not as many thresholds as labels.
    """
    if parameters.threshold is not None:
        return np.full(len(spec.labels), parameters.threshold)
    if not spec.is_multi_label or parameters.top_k is not None:
        return None
    if len(spec.thresholds) != len(spec.labels):
        raise ModelNotReadyError(
            f"{spec.route} has {len(spec.thresholds)} thresholds for {len(spec.labels)} labels"
        )
    return np.array(spec.thresholds) if parameters.function_to_apply in (None, "sigmoid") else None


def _table_labels(scores: Floats, names: tuple[str, ...], least: Floats | None) -> list[JsonValue]:
    """Return the best label of every row, or all that reach their minimum."""
    if least is None:
        return [names[index] for index in scores.argmax(axis=1)]
    return [[name for name, reached in zip(names, row, strict=True) if reached]
            for row in scores >= least]  # fmt: skip


def _count(parameters: ClassificationParameters, spec: HeadSpec) -> int:
    total = len(spec.labels)
    if parameters.top_k is None:
        return total if _is_text(spec) or spec.is_multi_label else min(_DEFAULT_TOP_K, total)
    if parameters.top_k > total:
        raise InvalidParameterError(
            f"top_k must be 1 to {total}, the number of classes, got {parameters.top_k}",
            field="parameters.top_k",
        )
    return parameters.top_k


def _ranked(
    scores: Floats, names: tuple[str, ...], count: int, least: Floats | None
) -> list[JsonValue]:
    # A stable sort keeps the head's order among equal scores.
    order = np.argsort(-scores, kind="stable")[:count]
    if least is not None:
        order = order[scores[order] >= least[order]]
    return [{"label": names[index], "score": float(scores[index])} for index in order]


POSTPROCESSOR = ClassificationPostprocessor
