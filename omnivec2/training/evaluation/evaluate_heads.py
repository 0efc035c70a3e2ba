"""``omnivec2 evaluate``: every head of a checkpoint, through its exported graph.

Graphs are run by ONNX Runtime as the service runs them; the network in PyTorch is not
involved. Values stand beside those of simple models on the same arrays.
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
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.spec import HeadSpec, Metric
from omnivec2.terminal import make_console
from omnivec2.training.data import DEFAULT_CACHE, load_task, routes
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.graph_sessions import Graph, Writer
from omnivec2.training.evaluation.predictions import Answers, answers
from omnivec2.training.evaluation.probing import TEST_SAMPLES, TRAIN_SAMPLES, probe
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.simple_models import baselines

_BATCH = 32
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

Advance = Callable[[int], None]


@dataclass(frozen=True)
class HeadResult:
    """One head's figure on one part of its data.

    Attributes:
        route: ``<modality>/<task>``.
        dataset: what the part is called.
        split: ``test``, or another part.
        samples: how many were measured.
        metric: its name.
        value: of the head.
        baselines: simple model -> its value on the same arrays.
        higher_is_better: which way the metric points.
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
        """By how much the head is better than the best simple model; negative if worse."""
        sign = 1.0 if self.higher_is_better else -1.0
        return min(sign * (self.value - other) for other in self.baselines.values())

    def as_metric(self) -> Metric:
        """The form in which a head spec carries it."""
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
class Measured:
    """What a head answered, for those who want to look at it.

    Attributes:
        task: the head's data.
        split: the part that was measured.
        rows: indices of the samples in that part.
        answers: one for each.
    """

    task: TaskData
    split: str
    rows: Sequence[int]
    answers: Answers

    @property
    def part(self) -> Split:
        """Where the samples are from."""
        return self.task.splits[self.split]

    def sample(self, index: int) -> Sample:
        """What the answer at ``index`` is about."""
        return self.part.samples[self.rows[index]]


Look = Callable[[Measured], None]
"""Is shown the answers of every head that has a task."""


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
    look: Look | None = None,
) -> list[HeadResult]:
    """Measure the heads of a checkpoint.

    Args:
        checkpoint: its directory; ``models/*/head.json`` name the heads.
        data_root: the directory of data sets.
        model_repository: assembled from the checkpoint; holds ``<name>/1/model.onnx``.
        only: routes to measure; all unless given.
        split: the part to measure on. ``test`` is for final figures only.
        most_samples: measure on so many, chosen evenly, instead of all (a quick look).
        cache: where prepared arrays and baselines are kept.
        console: where progress is shown.
        look: sees the answers of every head.

    Raises:
        CheckpointError: the checkpoint holds no heads.
        UnknownModelError: a route in ``only`` is not among them.
        ArtifactError: data or a graph is missing.
    """
    specs = read_heads(checkpoint, only)
    results = []
    with Progress(*_COLUMNS, console=console or make_console(stderr=True)) as progress:
        for spec in specs:
            model = Model(spec, model_repository)
            task = _task_of(spec, data_root, cache)
            for part in _tests(task, split):
                total = _expected(spec, part, split, most_samples)
                advance = partial(progress.advance, progress.add_task(spec.route, total=total))
                if spec.is_embedding:
                    results.append(_probe(model, part, split, advance))
                    continue
                measured = _ask(model, part, split, most_samples, advance)
                results += _results(measured, cache)
                if look is not None:
                    look(measured)
    return results


def _tests(task: TaskData, split: str) -> list[TaskData]:
    """The task, and once more with each of its further tests as the test part."""
    others = task.further_tests.items() if split == "test" else ()
    return [task] + [
        replace(task, splits={**task.splits, "test": part}, test_name=name) for name, part in others
    ]


def save_metrics(checkpoint: Path, results: Sequence[HeadResult]) -> None:
    """Write measured figures into the head specs of a checkpoint."""
    for head in read_checkpoint(checkpoint).heads:
        if metrics := tuple(r.as_metric() for r in results if r.route == head.route):
            write_head(checkpoint, head.model_copy(update={"metrics": metrics}))


def _expected(spec: HeadSpec, task: TaskData, split: str, most_samples: int | None) -> int:
    """How many samples the graph will see."""
    there = len(task.splits[split])
    if spec.is_embedding:
        return min(len(task.splits["train"]), TRAIN_SAMPLES) + min(there, TEST_SAMPLES)
    return min(there, most_samples or there)


def read_heads(checkpoint: Path, only: Sequence[str] | None = None) -> list[HeadSpec]:
    """The head specs of a checkpoint, in the order of their routes."""
    files = sorted(checkpoint.glob("models/*/head.json"))
    specs = [HeadSpec.model_validate_json(file.read_bytes()) for file in files]
    if not specs:
        raise CheckpointError(f"{checkpoint} holds no models/*/head.json")
    there = {spec.route: spec for spec in specs}
    unknown = [route for route in only or () if route not in there]
    if unknown:
        raise UnknownModelError(f"no head {', '.join(unknown)}; there are {', '.join(there)}")
    return [there[route] for route in only or there]


class Model:
    """One exported graph, with its decoder if it writes text.

    Args:
        spec: of its head.
        repository: the model repository it lies in.
    """

    def __init__(self, spec: HeadSpec, repository: Path) -> None:
        self.spec = spec
        path = repository / spec.name / "1" / "model.onnx"
        if not path.is_file():
            raise ArtifactError(f"no graph at {path}; assemble the model repository first")
        self._graph = Graph(path)
        self._writer = Writer(spec, repository) if spec.generation else None

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Array]:
        """Run a batch: output name -> array (samples, ...); of a text, the ids of a search."""
        batch = collate(samples)
        outputs = self._graph(batch)
        return self._writer(batch, outputs) if self._writer else outputs


def _task_of(spec: HeadSpec, data_root: Path, cache: Path) -> TaskData:
    """A head's own task; for an embedding the first of its modality prepared alike."""
    if not spec.is_embedding:
        return load_task(spec.route, data_root, cache=cache)
    for route in routes(spec.modality):
        task = load_task(route, data_root, cache=cache)
        if task.preprocess == spec.preprocess:
            return task
    raise ArtifactError(f"no data set is prepared as {spec.route} wants its input")


def _ask(
    model: Model, task: TaskData, split: str, most_samples: int | None, advance: Advance
) -> Measured:
    part = task.splits[split]
    rows = evenly(len(part), most_samples)
    found = Answers([], [])
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        outputs = model([part.samples[row] for row in chosen])
        found.extend(answers(task.family, outputs, part, chosen))
        advance(len(chosen))
    return Measured(task, split, rows, found)


def evenly(there: int, most: int | None) -> list[int]:
    """Indices of at most so many samples, evenly over a part."""
    chosen: list[int] = (
        np.linspace(0, there - 1, min(there, most or there)).round().astype(int).tolist()
    )
    return chosen


def _results(measured: Measured, cache: Path) -> list[HeadResult]:
    """A figure per metric of the task."""
    task = measured.task
    return [
        HeadResult(
            route=task.route,
            dataset=task.test_name,
            split=measured.split,
            samples=len(measured.rows),
            metric=metric,
            value=measured.answers.measure(metric),
            baselines=baselines(replace(task, metric=metric), cache=cache),
            higher_is_better=METRICS[metric].higher_is_better,
        )
        for metric in (task.metric, *task.further_metrics)
    ]


def _probe(model: Model, task: TaskData, split: str, advance: Advance) -> HeadResult:
    def embed(samples: Sequence[Sample]) -> Array:
        parts = []
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            parts.append(model(batch)["embedding"])
            advance(len(batch))
        return np.concatenate(parts)

    found = probe(task, embed, split=split)
    return HeadResult(
        route=model.spec.route,
        dataset=task.test_name,
        split=split,
        samples=found.samples,
        metric=found.metric,
        value=found.value,
        baselines={"raw arrays": found.raw},
        higher_is_better=found.higher_is_better,
    )
