"""``omnivec2 evaluate``: measure every head of a checkpoint through its exported graph.

Graphs are run by ONNX Runtime as the service runs them; the network in PyTorch is not
involved. Results are compared with those of simple models on the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from omnivec2.checkpoint import read_checkpoint, write_head
from omnivec2.errors import ArtifactError, CheckpointError, UnknownModelError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, Metric
from omnivec2.terminal import make_console
from omnivec2.training.data import DEFAULT_CACHE, load_task, routes
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.graph_sessions import HeadGraph, HeadRunner, open_sessions
from omnivec2.training.evaluation.predictions import Answers, read_answers
from omnivec2.training.evaluation.probing import (
    TEST_SAMPLES,
    TRAIN_SAMPLES,
    can_probe,
    probe,
)
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_models import constant_baseline, measure_baselines

_BATCH = 32
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

Advance = Callable[[int], None]


@dataclass(frozen=True)
class HeadResult:
    """The value of one metric for one head on one split of its data.

    Attributes:
        route: The ``<modality>/<task>`` of the head.
        dataset: The name of the data set and split.
        split: The split, usually ``test``.
        samples: The number of samples measured.
        metric: The name of the metric.
        value: The value of the head.
        baselines: The values of simple models on the same arrays, by name.
        higher_is_better: Whether a higher value is better.
    """

    route: str
    dataset: str
    split: str
    samples: int
    metric: str
    value: float
    baselines: dict[str, float]
    higher_is_better: bool

    @property
    def gain(self) -> float:
        """The advantage of the head over the best simple model; negative if worse."""
        gain = self.as_metric().gain
        assert gain is not None, "simple models were not measured"
        return gain

    def as_metric(self) -> Metric:
        """Convert to the metric of a head spec."""
        return Metric(
            name=self.metric,
            dataset=self.dataset,
            split=self.split,
            samples=self.samples,
            value=self.value,
            higher_is_better=self.higher_is_better,
            baselines=self.baselines,
        )


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


LoadTask = Callable[[HeadSpec], TaskData]
"""A function that loads the data a head is measured on."""

AnswersCallback = Callable[[HeadAnswers], None]
"""A callback that gets the answers of every head except embeddings."""

OpenHead = Callable[[HeadSpec], HeadRunner]
"""A function that opens the graphs of a head in an engine."""


def evaluate_checkpoint(
    checkpoint: Path,
    data_root: Path,
    model_repository: Path,
    *,
    only: Sequence[str] | None = None,
    split: str = "test",
    most_samples: int | None = None,
    cache: Path = DEFAULT_CACHE,
    console: Console | None = None,
    on_answers: AnswersCallback | None = None,
    open_head: OpenHead | None = None,
    with_baselines: bool = True,
    load: LoadTask | None = None,
) -> list[HeadResult]:
    """Measure the heads of a checkpoint.

    Args:
        checkpoint: The checkpoint directory; ``models/*/head.json`` name the heads.
        data_root: The directory of data sets.
        model_repository: The repository assembled from the checkpoint, with
            ``<name>/1/model.onnx``.
        only: The routes to measure; all if not given.
        split: The split to measure on. ``test`` is for final figures only.
        most_samples: The maximum number of samples, chosen evenly, for a quick estimate.
        cache: The directory of cached arrays and baselines.
        console: The console for progress.
        on_answers: A callback that gets the answers of every head.
        open_head: A function that opens a head's graphs; if None, ONNX Runtime runs the whole
            graphs of the repository.
        with_baselines: Whether simple models are measured as well.
        load: A function that loads other data than the heads' own, which has a test split only;
            the best constant answer is the one simple model then.

    Raises:
        CheckpointError: The checkpoint holds no heads.
        UnknownModelError: A route in ``only`` is not among them.
        ArtifactError: Data or a graph is missing.
    """
    specs = read_heads(checkpoint, only)
    results = []
    with Progress(*_COLUMNS, console=console or make_console(stderr=True)) as progress:
        for spec in specs:
            runner = open_head(spec) if open_head else open_sessions(spec, model_repository)
            model = HeadGraph(spec, runner)
            task = load(spec) if load else _task_of(spec, data_root, cache)
            for tested in _tests(task, split):
                total = _count_samples(spec, tested, split, most_samples)
                advance = partial(progress.advance, progress.add_task(spec.route, total=total))
                if _is_probed(spec, tested):
                    if can_probe(tested):
                        results.append(_probe(model, tested, split, advance))
                    continue
                measured = _answer_samples(model, tested, split, most_samples, advance)
                results += _measure(measured, cache if with_baselines else None)
                if on_answers is not None:
                    on_answers(measured)
    return results


def _is_probed(spec: HeadSpec, task: TaskData) -> bool:
    """Whether a vector is measured by simple models on it, and not by a search for identities."""
    return spec.is_embedding and task.form is not TargetForm.IDENTITY


def _tests(task: TaskData, split: str) -> list[TaskData]:
    """Return the task, and copies with each of its further tests as the test split."""
    others = task.further_tests.items() if split == "test" else ()
    return [task] + [
        replace(task, splits={**task.splits, "test": data}, test_name=name) for name, data in others
    ]


def save_metrics(checkpoint: Path, results: Sequence[HeadResult]) -> None:
    """Write measured metrics into the head specs of a checkpoint."""
    for head in read_checkpoint(checkpoint).heads:
        if metrics := tuple(r.as_metric() for r in results if r.route == head.route):
            write_head(checkpoint, head.model_copy(update={"metrics": metrics}))


def _count_samples(spec: HeadSpec, task: TaskData, split: str, most_samples: int | None) -> int:
    """Return the number of samples that the graph will process."""
    available = len(task.splits[split])
    if _is_probed(spec, task):
        return min(len(task.splits["train"]), TRAIN_SAMPLES) + min(available, TEST_SAMPLES)
    return min(available, most_samples or available)


def read_heads(checkpoint: Path, only: Sequence[str] | None = None) -> list[HeadSpec]:
    """Read the head specs of a checkpoint, in the order of their routes.

    Raises:
        CheckpointError: The checkpoint holds no heads.
        UnknownModelError: A route in ``only`` is not among them.
    """
    files = sorted(checkpoint.glob("models/*/head.json"))
    specs = [HeadSpec.model_validate_json(file.read_bytes()) for file in files]
    if not specs:
        raise CheckpointError(f"{checkpoint} holds no models/*/head.json")
    by_route = {spec.route: spec for spec in specs}
    unknown = [route for route in only or () if route not in by_route]
    if unknown:
        raise UnknownModelError(f"no head {', '.join(unknown)}; there are {', '.join(by_route)}")
    return [by_route[route] for route in only or by_route]


def _task_of(spec: HeadSpec, data_root: Path, cache: Path) -> TaskData:
    """Return a head's own task; for an embedding the first one with equal preprocessing."""
    if not spec.is_embedding or spec.data_block is not None:
        return load_task(spec.route, data_root, cache=cache, head=spec)
    for route in routes(spec.modality):
        task = load_task(route, data_root, cache=cache)
        if task.preprocess == spec.preprocess:
            return task
    raise ArtifactError(f"no data set is prepared as {spec.route} wants its input")


def _answer_samples(
    model: HeadGraph, task: TaskData, split: str, most_samples: int | None, advance: Advance
) -> HeadAnswers:
    data = task.splits[split]
    rows = evenly_spaced(len(data), most_samples)
    answers = Answers([], [])
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        outputs = model([data.samples[row] for row in chosen])
        answers.extend(read_answers(task, outputs, data, chosen, thresholds=model.spec.thresholds))
        advance(len(chosen))
    return HeadAnswers(task, split, rows, answers)


def evenly_spaced(available: int, most: int | None) -> list[int]:
    """Return the indices of at most ``most`` of the available samples, evenly spaced."""
    count = min(available, most or available)
    indices: list[int] = np.linspace(0, available - 1, count).round().astype(int).tolist()
    return indices


def _measure(measured: HeadAnswers, cache: Path | None) -> list[HeadResult]:
    """Return one result per metric of the task; without a cache no simple models."""
    task = measured.task

    def baselines(metric: str) -> dict[str, float]:
        if cache is not None and "train" not in task.splits:
            return constant_baseline(replace(task, metric=metric), measured.split)
        return {} if cache is None else measure_baselines(replace(task, metric=metric), cache=cache)

    return [
        HeadResult(
            route=task.route,
            dataset=task.test_name,
            split=measured.split,
            samples=len(measured.rows),
            metric=metric,
            value=measured.answers.measure(metric),
            baselines=baselines(metric),
            higher_is_better=METRICS[metric].higher_is_better,
        )
        for metric in (task.metric, *task.further_metrics)
    ]


def _probe(model: HeadGraph, task: TaskData, split: str, advance: Advance) -> HeadResult:
    def embed(samples: Sequence[Sample]) -> Array:
        embeddings = []
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            embeddings.append(model(batch)["embedding"])
            advance(len(batch))
        return np.concatenate(embeddings)

    result = probe(task, embed, split=split)
    return HeadResult(
        route=model.spec.route,
        dataset=task.test_name,
        split=split,
        samples=result.samples,
        metric=result.metric,
        value=result.value,
        baselines={"raw arrays": result.raw},
        higher_is_better=result.higher_is_better,
    )
