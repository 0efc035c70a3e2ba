"""From the files of a request to prepared samples: those to learn from, and those to measure on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnivec2.errors import InvalidParameterError
from omnivec2.preprocess import Preprocessor
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.answer_forms import AnswerForm, strata_of
from omnivec2.training.adaptation.progress_report import Start
from omnivec2.training.adaptation.reading.forecast_series import (
    prepare_windows,
    read_forecast_parts,
)
from omnivec2.training.adaptation.reading.group_parts import notes_on_groups
from omnivec2.training.adaptation.reading.input_choice import make_preprocessor
from omnivec2.training.adaptation.reading.prepared_rows import Prepared, prepare_rows
from omnivec2.training.adaptation.reading.read_data import Parts, read_parts
from omnivec2.training.adaptation.reading.validation_folds import FOLDS, group_folds

_MOST_NAMED = 5


@dataclass(frozen=True)
class PreparedParts:
    """Both parts of the data, prepared.

    Attributes:
        train: The samples to learn from.
        test: The samples that are not used before the end.
        pool: The number of inputs that those to learn from were chosen from.
        classes: The classes or tags as they stand in the data, in the order of the outputs.
        preprocessor: The pre-processor of the new head.
        skipped: The inputs that could not be decoded, with the reasons.
        notes: The sentences that tell what to know about the data.
    """

    train: Prepared
    test: Prepared
    pool: int
    classes: tuple[str, ...]
    preprocessor: Preprocessor[Any, Any]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare_parts(request: AdaptRequest, base: HeadSpec, start: Start) -> PreparedParts:
    """Read and prepare both parts of a request.

    Args:
        request: The request.
        base: A head of the same modality.
        start: A function that starts the progress of a step.

    Raises:
        InputError: The data or the request is wrong; the message names file and row, or field.
    """
    if request.is_forecast:
        return _forecasts(request, base)
    parts = read_parts(request)
    _require_named_targets(request, parts)
    given = {}
    if request.context is not None and request.modality is Modality.TIMESERIES:
        given["context_length"] = request.context
    preprocessor = make_preprocessor(_with_parameters(request, given), base, parts.train)
    prepared, remaining_skips = [], request.skip_bad
    for name, rows in (("train", parts.train), ("test", parts.test)):
        advance = start(f"reading {name}", len(rows))
        part = prepare_rows(
            rows, preprocessor, parts.classes, skip_bad=remaining_skips,
            advance=partial(advance, 1),
        )  # fmt: skip
        remaining_skips -= len(part.skipped)
        prepared.append(part)
    train, test = prepared
    if train.groups:
        classes = strata_of(train.labels)
        folds = group_folds(classes, train.groups, FOLDS, seed=request.seed)
        train = replace(train, folds=folds)
    return PreparedParts(
        train,
        test,
        parts.pool,
        parts.classes,
        preprocessor,
        (*train.skipped, *test.skipped),
        (
            *_rare_classes(request, parts),
            *_cut_series(parts, preprocessor),
            *notes_on_groups(parts.train, parts.test),
        ),
    )


def _forecasts(request: AdaptRequest, base: HeadSpec) -> PreparedParts:
    if request.modality is not Modality.TIMESERIES:
        raise InvalidParameterError(
            f"{request.route}: forecasts are of time series: give --modality timeseries"
        )
    parts = read_forecast_parts(request)
    given = {"context_length": parts.context, "horizon": request.horizon}
    preprocessor = make_preprocessor(_with_parameters(request, given), base, [])
    found = prepare_windows(parts, request, preprocessor)
    return PreparedParts(found.train, found.test, found.pool, (), preprocessor, notes=found.notes)


def _with_parameters(request: AdaptRequest, given: dict[str, Any]) -> AdaptRequest:
    return request.model_copy(update={"preprocess": {**request.preprocess, **given}})


def _require_named_targets(request: AdaptRequest, parts: Parts) -> None:
    """Require a name for every quantity.

    Raises:
        InvalidParameterError: The names given are not as many as the quantities.
    """
    if request.form is not AnswerForm.QUANTITIES:
        return
    first = parts.train[0].label
    if len(request.targets) != len(first):
        raise InvalidParameterError(
            f"targets: {len(request.targets)} are named, the data has {len(first)}"
        )


def _cut_series(parts: Parts, preprocessor: Preprocessor[Any, Any]) -> list[str]:
    """Return how much of series is read, where some are longer than the head reads."""
    if preprocessor.modality is not Modality.TIMESERIES:
        return []
    context = preprocessor.parameters.context_length
    lengths = [
        len(series)
        for row in (*parts.train, *parts.test)
        if isinstance(row.value, dict) and isinstance(series := row.value.get("target"), list)
    ]
    if not lengths or max(lengths) <= context:
        return []
    return [
        f"series have {min(lengths):,} to {max(lengths):,} steps; the last {context:,} of each are "
        "read (--context)"
    ]


def _rare_classes(request: AdaptRequest, parts: Parts) -> list[str]:
    """Return which classes are hard to learn."""
    if request.form is AnswerForm.QUANTITIES:
        return []
    counts: Counter[str] = Counter()
    for row in parts.train:
        counts.update([row.label] if isinstance(row.label, str) else map(str, row.label))
    rare = sorted(name for name, count in counts.items() if count == 1)
    if not rare:
        return []
    more = f" and {len(rare) - _MOST_NAMED} more" if len(rare) > _MOST_NAMED else ""
    return [
        f"one labelled input each to learn from: {', '.join(rare[:_MOST_NAMED])}{more}; answers of "
        "them were not validated"
    ]
