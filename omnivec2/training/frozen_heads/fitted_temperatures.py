"""Temperatures of heads that were trained without one, fitted to answers on ``val``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from omnivec2.checkpoint import read_checkpoint, write_head
from omnivec2.errors import InvalidParameterError
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.adaptation.answer_forms import AnswerForm, losses_of, probabilities
from omnivec2.training.adaptation.fitting.score_calibration import fit_temperature
from omnivec2.training.data import DEFAULT_CACHE
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.evaluation.evaluate_heads import OpenHead, evaluate_checkpoint, read_heads
from omnivec2.training.evaluation.metrics.class_metrics import calibration_error

_SPLIT = "val"

_LEAST_GAIN = 1.92
"""The gain in log-likelihood that chance alone gives in a twentieth of all cases: half of the 95 %
quantile of the chi-squared distribution with one degree of freedom."""


@dataclass(frozen=True)
class FittedTemperature:
    """The temperature of a head.

    Attributes:
        route: The name of the head.
        samples: The number of samples that it was fitted to.
        temperature: The temperature; the one of before if no other is better beyond chance.
        before: The expected calibration error on these samples with the temperature of before.
        after: The same with the new one.
    """

    route: str
    samples: int
    temperature: float
    before: float
    after: float


def calibrate_heads(
    checkpoint: Path,
    data: Path,
    model_repository: Path,
    console: Console,
    *,
    only: Sequence[str] = (),
    most_samples: int | None = None,
    cache: Path = DEFAULT_CACHE,
    open_head: OpenHead | None = None,
) -> list[FittedTemperature]:
    """Fit temperatures of heads that answer with one class, and write them into their specs.

    A head keeps its temperature where another is not better beyond chance, as with few samples,
    and where it would be surer than its weights make it. The answers are those of exported graphs
    to the part ``val``. No class that is answered changes, and no graph.

    Args:
        checkpoint: The checkpoint, exported.
        data: The directory of data sets.
        model_repository: The repository assembled from the checkpoint.
        console: The console for progress.
        only: The routes; all that answer with one class if empty.
        most_samples: The maximum number of samples of a head, evenly chosen; all if None.
        cache: The directory of prepared arrays.
        open_head: A function that opens a head's graphs; if None, ONNX Runtime runs them.

    Raises:
        InvalidParameterError: A head in ``only`` does not answer with one class.
        ArtifactError: Data or a graph is missing.
    """
    chosen = [spec.route for spec in read_heads(checkpoint, only or None) if _has_classes(spec)]
    if wrong := [route for route in only if route not in chosen]:
        raise InvalidParameterError(
            f"{wrong[0]} has no temperature: it does not answer with one class of several"
        )
    answers: dict[str, HeadAnswers] = {}

    def keep(measured: HeadAnswers) -> None:
        answers[measured.task.route] = measured

    evaluate_checkpoint(
        checkpoint, data, model_repository, only=chosen, split=_SPLIT, cache=cache,
        most_samples=most_samples, console=console, on_answers=keep, open_head=open_head,
        with_baselines=False,
    )  # fmt: skip
    found = []
    for head in read_checkpoint(checkpoint).heads:
        if measured := answers.get(head.route):
            fitted = _fitted(head, measured)
            write_head(checkpoint, head.model_copy(update={"temperature": fitted.temperature}))
            found.append(fitted)
    return found


def _has_classes(spec: HeadSpec) -> bool:
    return spec.family is TaskFamily.CLASSIFICATION and not spec.is_multi_label


def _fitted(head: HeadSpec, measured: HeadAnswers) -> FittedTemperature:
    answered: Any = measured.answers.predicted
    logits = np.stack(answered)
    labels = np.asarray(measured.answers.wanted, dtype=np.int64)

    def scores(own: Array) -> Array:
        return probabilities(own, AnswerForm.CLASS)

    # The answers have the head's present temperature in them.
    factor = fit_temperature(logits, labels, scores)
    before = calibration_error(scores(logits), labels)
    after = calibration_error(scores(logits / factor), labels)
    unit = np.ones(1)
    losses = [losses_of(scores(logits / divisor), labels, unit).sum() for divisor in (1.0, factor)]
    temperature = round(head.temperature * factor, 4)
    # The same samples helped to choose the head's weights, so they are answered better than others:
    # they may show that a head is too sure, but not that it should be surer.
    if losses[0] - losses[1] < _LEAST_GAIN or after > before or temperature < 1.0:
        temperature, after = head.temperature, before
    return FittedTemperature(head.route, len(labels), temperature, before, after)
