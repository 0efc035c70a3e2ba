"""``omnivec2 evaluate --all``: every head, with intervals, simple models and small sets in folds.

What was found for a head is kept in a folder until the head, its data or the engine changes. A
measurement that was interrupted goes on from there, and new heads are added without measuring the
others again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from omnivec2.atomic_files import write_file
from omnivec2.spec import HeadSpec
from omnivec2.terminal import LoggedProgress
from omnivec2.training.data.base import DataDirectories, TaskData
from omnivec2.training.evaluation.all_heads.head_tests import (
    MeasuredFigure,
    MeasuringOptions,
    count_samples,
    run_test,
    tasks_with_tests,
)
from omnivec2.training.evaluation.baselines.boosted_trees import boosted_trees
from omnivec2.training.evaluation.evaluate_heads import (
    OpenHead,
    read_heads,
    task_of,
    unseen_figures,
)
from omnivec2.training.evaluation.graph_sessions import HeadGraph
from omnivec2.training.evaluation.metrics.class_metrics import ece
from omnivec2.training.evaluation.record.kept_answers import KeptGraph
from omnivec2.training.evaluation.record.looks_ledger import LooksLedger
from omnivec2.training.evaluation.record.results_file import Figure, FigureKind, figure_from

_VERSION = 1
"""The version of this computation; increase it so that kept figures are measured anew."""

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
_FIGURES = TypeAdapter(tuple[Figure, ...])
_DIGITS = 12


@dataclass(frozen=True)
class AllHeads:
    """What all heads are measured with.

    Attributes:
        checkpoint: The checkpoint; ``models/*/head.json`` name the heads.
        data: The directories of data and of prepared arrays.
        kept: The folder where answers and figures of heads are kept.
        engine: The engine and precision that ``open_head`` opens graphs in.
        open_head: A function that opens a head's graphs.
        options: The choices of what is measured of every test.
        ledger: The ledger that looks at test parts are written to; None for none.
        folds: Whether small sets are measured in five folds.
    """

    checkpoint: Path
    data: DataDirectories
    kept: Path
    engine: str
    open_head: OpenHead
    options: MeasuringOptions
    ledger: LooksLedger | None = None
    folds: bool = True

    def measure(
        self, progress: LoggedProgress, only: list[str] | None = None
    ) -> Iterator[tuple[HeadSpec, tuple[Figure, ...]]]:
        """Yield every head with its figures, measured or read.

        Args:
            progress: The progress that is shown.
            only: The routes to measure; all if None.

        Raises:
            CheckpointError: The checkpoint holds no heads.
            UnknownModelError: A route in ``only`` is not among them.
            ArtifactError: Data or a graph is missing.
        """
        specs = read_heads(self.checkpoint, only)
        heads = progress.add_task("heads", total=len(specs))
        for spec in specs:
            task = task_of(spec, self.data.root, self.data.cache)
            folder = self.kept / f"{spec.name}-{self._graph_key(spec)}"
            file = folder / f"figures-{self._key(spec, task)}.json"
            figures = _read(file)
            if figures is None:
                figures = tuple(self._measure_head(spec, task, folder, progress))
                folder.mkdir(parents=True, exist_ok=True)
                write_file(file, _FIGURES.dump_json(figures, indent=1))
            progress.update(heads, advance=1, description=f"heads, {spec.route} done")
            yield spec, figures

    def _graph_key(self, spec: HeadSpec) -> str:
        """Return a name for all that a head's outputs depend on beside the samples."""
        return _digest([graph_digest(self.checkpoint, spec), self.engine])

    def _key(self, spec: HeadSpec, task: TaskData) -> str:
        """Return a name for what a head's figures depend on beside its outputs."""
        options = self.options
        parts = [
            _VERSION, self.folds,
            spec.model_dump(mode="json", include=_ANSWERING), options.split, options.most_samples,
            options.cache is None, task.test_name, task.metric, task.further_metrics,
            {name: len(split) for name, split in task.splits.items()},
        ]  # fmt: skip
        return _digest(parts)

    def _measure_head(
        self, spec: HeadSpec, task: TaskData, folder: Path, progress: LoggedProgress
    ) -> Iterator[Figure]:
        model = KeptGraph(HeadGraph(spec, self.open_head(spec)), folder)
        try:
            for tested in tasks_with_tests(task, self.options.split):
                yield from self._test(model, tested, progress)
            if spec.is_embedding:
                yield from self._unseen(model, progress)
        finally:
            model.save()
        if self.folds and self.options.most_samples is None:
            yield from self._folds(spec, task, folder, progress)

    def _test(self, model: HeadGraph, task: TaskData, progress: LoggedProgress) -> Iterator[Figure]:
        """Yield the figures of one test; of classification heads the first has the ECE."""
        total = count_samples(model.spec, task, self.options)
        bar = progress.add_task(model.spec.route, total=total)
        advance = partial(progress.advance, bar)
        for number, measured in enumerate(run_test(model, task, self.options, advance)):
            self._look(measured)
            found = measured
            if self.options.cache is not None:
                found = _beside(measured, boosted_trees(task, measured.result.metric))
            calibration = calibration_of(found) if number == 0 else None
            progress.update(bar, description=f"{model.spec.route}, interval")
            yield figure_from(
                found.result, FigureKind.TEST, found.figure.interval(), ece=calibration
            )
        progress.update(bar, description=model.spec.route)

    def _unseen(self, model: HeadGraph, progress: LoggedProgress) -> Iterator[Figure]:
        bar = progress.add_task(f"{model.spec.route}, unseen data", total=None)
        found = unseen_figures(
            model.spec, model, None if self.options.cache is None else self.checkpoint, self.data,
            partial(progress.console.print, markup=False), partial(progress.advance, bar),
        )  # fmt: skip
        for one in found:
            self._look(one)
            yield figure_from(one.result, FigureKind.UNSEEN, one.figure.interval())

    def _folds(
        self, spec: HeadSpec, task: TaskData, folder: Path, progress: LoggedProgress
    ) -> Iterator[Figure]:
        # Imported late: it loads torch, which measuring graphs does not need.
        from omnivec2.training.evaluation.all_heads.five_folds import NOTE, can_fold, measure_folds

        if spec.is_embedding or not can_fold(task):
            return
        total = sum(map(len, task.splits.values()))
        bar = progress.add_task(f"{spec.route}, five folds", total=total)
        advance = partial(progress.advance, bar)
        found = measure_folds(self.checkpoint, spec, task, folder, advance)
        if self.ledger is not None:
            self.ledger.record([replace(found.result, split="test")])
        yield figure_from(found.result, FigureKind.FIVE_FOLD, found.figure.interval(), note=NOTE)

    def _look(self, found: MeasuredFigure) -> None:
        if self.ledger is not None:
            self.ledger.record([found.result])


_ANSWERING = {
    "preprocess", "labels", "targets", "thresholds", "temperature", "horizon", "generation",
}  # fmt: skip
"""The fields of a head's spec that its answers depend on beside its graphs."""


def _digest(parts: list[object]) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def graph_digest(checkpoint: Path, spec: HeadSpec) -> str:
    """Return a digest of a head's graphs and weights: those of its parts, if it has any."""
    file = checkpoint / "models" / spec.name / "ensemble.json"
    if not file.is_file():
        return spec.checkpoint_digest
    parts = json.loads(file.read_text()).get("parts", {})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def shown_on(console: Console) -> LoggedProgress:
    """Return the progress of a measurement: bars, or lines without a terminal."""
    return LoggedProgress(*_COLUMNS, console=console)


def calibration_of(found: MeasuredFigure) -> float | None:
    """Return the expected calibration error of answers that are scores of one class each."""
    if found.answers is None:
        return None
    answers = found.answers.answers
    first, target = answers.predicted[0], answers.wanted[0]
    is_class = (
        isinstance(first, np.ndarray) and first.ndim == 1 and isinstance(target, int | np.integer)
    )
    return ece(np.stack(answers.predicted), answers.wanted) if is_class else None


def _beside(found: MeasuredFigure, simple: dict[str, float]) -> MeasuredFigure:
    """Return a result beside further simple models."""
    result = replace(found.result, baselines=found.result.baselines | simple)
    return replace(found, result=result)


def _read(file: Path) -> tuple[Figure, ...] | None:
    """Return kept figures; None if there are none, or of another version."""
    try:
        return _FIGURES.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
