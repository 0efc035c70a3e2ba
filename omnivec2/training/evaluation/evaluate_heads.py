"""``omnivec2 evaluate``: measure every head of a checkpoint through its exported graph.

Graphs are run by ONNX Runtime as the service runs them; the network in PyTorch is not
involved. Results are compared with those of simple models on the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from omnivec2.checkpoint import read_checkpoint, write_head
from omnivec2.errors import ArtifactError, CheckpointError, UnknownModelError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec
from omnivec2.terminal import LoggedProgress, make_console
from omnivec2.training.data import DEFAULT_CACHE, load_task, routes
from omnivec2.training.data.base import DataDirectories, TaskData
from omnivec2.training.evaluation.all_heads.head_tests import (
    Advance,
    HeadAnswers,
    MeasuredFigure,
    MeasuringOptions,
    count_samples,
    run_test,
    tasks_with_tests,
)
from omnivec2.training.evaluation.graph_sessions import HeadGraph, HeadRunner, open_sessions
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.record.looks_ledger import LooksLedger
from omnivec2.training.evaluation.unseen.unseen_set import UNSEEN_SPLIT

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


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
    unseen: bool = False,
    ledger: LooksLedger | None = None,
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
        unseen: Whether embeddings are also measured on data that nothing was trained on.
        ledger: The ledger that looks at test parts are written to; None for none.

    Raises:
        CheckpointError: The checkpoint holds no heads.
        UnknownModelError: A route in ``only`` is not among them.
        ArtifactError: Data or a graph is missing.
    """
    specs = read_heads(checkpoint, only)
    options = MeasuringOptions(split, most_samples, cache if with_baselines else None)
    results: list[HeadResult] = []
    with LoggedProgress(*_COLUMNS, console=console or make_console(stderr=True)) as progress:
        for spec in specs:
            runner = open_head(spec) if open_head else open_sessions(spec, model_repository)
            model = HeadGraph(spec, runner)
            task = load(spec) if load else task_of(spec, data_root, cache)
            for tested in tasks_with_tests(task, split):
                total = count_samples(spec, tested, options)
                advance = partial(progress.advance, progress.add_task(spec.route, total=total))
                found = list(run_test(model, tested, options, advance))
                results += [one.result for one in found]
                if on_answers is not None and found and found[0].answers is not None:
                    on_answers(found[0].answers)
                if ledger is not None and load is None:
                    ledger.record([one.result for one in found])
            if unseen and spec.is_embedding:
                bar = progress.add_task(f"{spec.route}, unseen data", total=None)
                figures = unseen_figures(
                    spec, model, checkpoint if with_baselines else None,
                    DataDirectories(data_root, cache),
                    partial(progress.console.print, markup=False),
                    partial(progress.advance, bar),
                )  # fmt: skip
                others = [one.result for one in figures]
                results += others
                if ledger is not None:
                    ledger.record(others)
    return results


def unseen_figures(
    spec: HeadSpec,
    model: HeadGraph,
    checkpoint: Path | None,
    at: DataDirectories,
    skipped: Callable[[str], None],
    advance: Advance,
) -> Iterator[MeasuredFigure]:
    """Yield an embedding's figures on unseen data.

    Args:
        spec: The spec of an embedding.
        model: The head.
        checkpoint: The checkpoint whose other vectors are scored beside it; None for none.
        at: The data directories.
        skipped: A callback with the reason why a set is not measured.
        advance: A callback with the number of inputs embedded since the last.
    """
    # These others are computed by torch, which no other measurement needs.
    from omnivec2.training.evaluation.unseen.measure_unseen import measure_unseen, other_vectors

    def others() -> Sequence[Callable[[Sequence[Sample]], Mapping[str, Array]]]:
        return () if checkpoint is None else other_vectors(checkpoint, spec)

    yield from measure_unseen(spec, partial(_embed, model), others, at, skipped, advance)


def save_metrics(checkpoint: Path, results: Sequence[HeadResult]) -> None:
    """Write measured metrics into the head specs of a checkpoint.

    Figures on unseen data that were not measured anew are kept.
    """
    for head in read_checkpoint(checkpoint).heads:
        if metrics := tuple(r.as_metric() for r in results if r.route == head.route):
            measured = {metric.dataset for metric in metrics}
            kept = tuple(
                metric for metric in head.metrics
                if metric.split == UNSEEN_SPLIT and metric.dataset not in measured
            )  # fmt: skip
            write_head(checkpoint, head.model_copy(update={"metrics": metrics + kept}))


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


def task_of(spec: HeadSpec, data_root: Path, cache: Path) -> TaskData:
    """Return a head's own task; for an embedding the first one with equal preprocessing."""
    if not spec.is_embedding or spec.data_block is not None:
        return load_task(spec.route, data_root, cache=cache, head=spec)
    for route in routes(spec.modality):
        task = load_task(route, data_root, cache=cache)
        if task.preprocess == spec.preprocess:
            return task
    raise ArtifactError(f"no data set is prepared as {spec.route} wants its input")


def _embed(model: HeadGraph, samples: Sequence[Sample]) -> Array:
    return model(samples)["embedding"]
