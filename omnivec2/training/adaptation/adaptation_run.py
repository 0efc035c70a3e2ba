"""``omnivec2 adapt``: from labelled data to a checkpoint with one more head.

::

    reading ─► fitting ─► writing ─► measuring
"""

from __future__ import annotations

from rich.console import Console

from omnivec2.checkpoint import write_head
from omnivec2.errors import InvalidParameterError
from omnivec2.network.fc_head import FAMILIES
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.adaptation_context import AdaptationContext, AdaptationPaths
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.adaptation_result import AdaptationResult
from omnivec2.training.adaptation.adapted_checkpoint import head_spec, write_adapted
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.fitting.head_search import FoundHead, HeadSearch
from omnivec2.training.adaptation.frozen_network import load_base
from omnivec2.training.adaptation.measuring.simple_baselines import baselines
from omnivec2.training.adaptation.measuring.written_head import measure_head
from omnivec2.training.adaptation.progress_report import progress_report
from omnivec2.training.adaptation.reading.prepared_parts import PreparedParts, prepare_parts
from omnivec2.training.adaptation.step_times import StepTimes
from omnivec2.training.evaluation.quality_metrics import METRICS

__all__ = ["AdaptationPaths", "adapt"]

_OF_TAGS = ("map", "mean_auc")
_OF_QUANTITIES = ("rmse", "mse", "mae")


def adapt(request: AdaptRequest, paths: AdaptationPaths, console: Console) -> AdaptationResult:
    """Fit a head to labelled data and write it, with its figures, as a checkpoint.

    Raises:
        InputError: The data or the request is wrong; the message names file and row, or field.
        ArtifactError: The base is incomplete, or lacks the modality.
    """
    _check(request)
    times = StepTimes()
    base = load_base(paths.base, request.modality)
    with progress_report(console) as start:
        context = AdaptationContext(request, paths, base, start, times)
        with times.measure("reading"):
            parts = prepare_parts(request, base.head, start)
        context.notes.extend(parts.notes)
        found = HeadSearch(context, parts).run()
        result = _write_and_measure(context, parts, found)
    for line in parts.skipped:
        console.print(f"skipped {line}", markup=False)
    for line in result.notes:
        console.print(f"note: {line}", markup=False, highlight=False)
    return result


def _check(request: AdaptRequest) -> None:
    if request.family not in FAMILIES:
        raise InvalidParameterError(
            f"{request.route}: two fully connected layers answer a class, tags, quantities or a "
            "forecast per input, not boxes or masks; train those with `omnivec2 train`"
        )
    if request.multi_label and request.family is not TaskFamily.CLASSIFICATION:
        raise InvalidParameterError(
            f"{request.route}: multi_label is for family classification, not {request.family.value}"
        )
    known = {
        AnswerForm.TAGS: _OF_TAGS,
        AnswerForm.QUANTITIES: _OF_QUANTITIES,
        AnswerForm.CLASS: tuple(METRICS),
    }[request.form]
    if request.metric_name not in known:
        raise InvalidParameterError(f"metric: expected one of {', '.join(known)}")


def _write_and_measure(
    context: AdaptationContext, parts: PreparedParts, found: FoundHead
) -> AdaptationResult:
    """Write a head, read it back, measure it, and write its figures beside it."""
    request, paths, base = context.request, context.paths, context.base
    labels = tuple(request.labels.get(name, name) for name in parts.classes)
    spec = head_spec(request, base, parts.preprocessor, labels, found.thresholds)
    written = write_adapted(
        paths.checkpoint, base, found.network, spec, own_tokenizer=found.own_tokenizer
    )
    figures = measure_head(context, parts.test, found.temperature)
    with context.times.measure("linear model"):
        simple = baselines(
            request.modality, parts.train, parts.test,
            classes=len(parts.classes), metric=request.metric_name, seed=request.seed,
        )  # fmt: skip
    result = AdaptationResult(
        route=request.route,
        dataset=request.test_name,
        labelled=len(parts.train.labels),
        pool=parts.pool,
        samples=len(parts.test.labels),
        metric=request.metric_name,
        value=figures.value,
        validation=found.metric,
        baselines=simple,
        chosen=found.chosen,
        notes=tuple(context.notes),
        skipped=len(parts.skipped),
        seconds=context.times.total(),
        seed=request.seed,
        base=base.checkpoint.digest,
        temperature=found.temperature,
        ece=figures.calibration,
        ece_uncalibrated=figures.uncalibrated,
    )
    write_head(paths.checkpoint, written.heads[0].model_copy(update={"metrics": result.metrics}))
    return result
