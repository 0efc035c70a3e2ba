"""The measurement of one head on one test: its answers, and the figures of each metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.graph_sessions import HeadGraph
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.predictions import Answers, calibrated, read_answers
from omnivec2.training.evaluation.probing import (
    TEST_SAMPLES,
    TRAIN_SAMPLES,
    can_probe,
    probe,
)
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.resampling.sample_statistics import figure_of
from omnivec2.training.evaluation.resampling.sampled_figure import SampledFigure
from omnivec2.training.evaluation.simple_models import constant_baseline, measure_baselines

_BATCH = 32

Advance = Callable[[int], None]


@dataclass(frozen=True)
class HeadAnswers:
    """The answers of a head to some samples, for reports.

    Attributes:
        task: The head's data.
        split: The split that was measured.
        rows: The indices of the samples in that split.
        answers: The answers, one per sample.
    """

    task: TaskData
    split: str
    rows: Sequence[int]
    answers: Answers

    @property
    def data(self) -> Split:
        """The data of the measured split."""
        return self.task.splits[self.split]

    def sample(self, index: int) -> Sample:
        """Return the sample that the answer at ``index`` belongs to."""
        return self.data.samples[self.rows[index]]


@dataclass(frozen=True)
class MeasuredFigure:
    """The outcome of a test by one metric.

    Attributes:
        result: The value beside those of simple models.
        figure: The same value in a form that can be computed over drawn samples.
        answers: The answers; None for embeddings, which are probed.
    """

    result: HeadResult
    figure: SampledFigure
    answers: HeadAnswers | None = None


@dataclass(frozen=True)
class MeasuringOptions:
    """The choices of what is measured of every test.

    Attributes:
        split: The split to measure on.
        most_samples: The maximum number of samples, evenly chosen; all if None.
        cache: The directory of simple models' figures; None measures none.
    """

    split: str = "test"
    most_samples: int | None = None
    cache: Path | None = None


def tasks_with_tests(task: TaskData, split: str) -> list[TaskData]:
    """Return the task, and copies with each of its further tests as the test split."""
    others = task.further_tests.items() if split == "test" else ()
    return [task] + [
        replace(task, splits={**task.splits, "test": data}, test_name=name) for name, data in others
    ]


def count_samples(spec: HeadSpec, task: TaskData, options: MeasuringOptions) -> int:
    """Return the number of samples that the graph will process."""
    available = len(task.splits[options.split])
    if is_probed(spec, task):
        return min(len(task.splits["train"]), TRAIN_SAMPLES) + min(available, TEST_SAMPLES)
    return min(available, options.most_samples or available)


def is_probed(spec: HeadSpec, task: TaskData) -> bool:
    """Whether a vector is measured by simple models on it, and not by a search for identities."""
    return spec.is_embedding and task.form is not TargetForm.IDENTITY


def run_test(
    model: HeadGraph, task: TaskData, options: MeasuringOptions, advance: Advance
) -> Iterator[MeasuredFigure]:
    """Yield what a head's answers to a test are worth by each metric of its task.

    Args:
        model: The head.
        task: The head's data, with the test in its splits.
        options: The choices of what is measured.
        advance: A callback with the number of samples done since the last.
    """
    if is_probed(model.spec, task):
        if can_probe(task):
            yield _probe(model, task, options.split, advance)
        return
    answers = _answer_samples(model, task, options, advance)
    for metric in (task.metric, *task.further_metrics):
        figure = figure_of(answers.answers, metric, _block(task))
        result = HeadResult(
            route=task.route,
            dataset=task.test_name,
            split=options.split,
            samples=len(answers.rows),
            metric=metric,
            value=answers.answers.measure(metric),
            baselines=_baselines(replace(task, metric=metric), options),
            higher_is_better=METRICS[metric].higher_is_better,
        )
        yield MeasuredFigure(result, figure, answers)


def _block(task: TaskData) -> int:
    """Return the number of samples that are drawn together: windows overlap their neighbours."""
    return task.horizon or 1 if task.family is TaskFamily.FORECASTING else 1


def _baselines(task: TaskData, options: MeasuringOptions) -> dict[str, float]:
    if options.cache is None:
        return {}
    if "train" not in task.splits:
        return constant_baseline(task, options.split)
    return measure_baselines(task, cache=options.cache)


def _answer_samples(
    model: HeadGraph, task: TaskData, options: MeasuringOptions, advance: Advance
) -> HeadAnswers:
    data = task.splits[options.split]
    rows = evenly_spaced(len(data), options.most_samples)
    answers = Answers([], [])
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        outputs = calibrated(model.spec, model([data.samples[row] for row in chosen]))
        answers.extend(read_answers(task, outputs, data, chosen, thresholds=model.spec.thresholds))
        advance(len(chosen))
    return HeadAnswers(task, options.split, rows, answers)


def evenly_spaced(available: int, most: int | None) -> list[int]:
    """Return the indices of at most ``most`` of the available samples, evenly spaced."""
    count = min(available, most or available)
    indices: list[int] = np.linspace(0, available - 1, count).round().astype(int).tolist()
    return indices


def _probe(model: HeadGraph, task: TaskData, split: str, advance: Advance) -> MeasuredFigure:
    def embed(samples: Sequence[Sample]) -> Array:
        embeddings = []
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            embeddings.append(model(batch)["embedding"])
            advance(len(batch))
        return np.concatenate(embeddings)

    found = probe(task, embed, split=split)
    result = HeadResult(
        route=model.spec.route,
        dataset=task.test_name,
        split=split,
        samples=found.samples,
        metric=found.metric,
        value=found.value,
        baselines={"raw arrays": found.raw},
        higher_is_better=found.higher_is_better,
    )
    return MeasuredFigure(result, found.figure)
