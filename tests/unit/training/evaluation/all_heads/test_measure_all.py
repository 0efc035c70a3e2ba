"""All heads measured, from answers to kept figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omnivec2.preprocess import Array, preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.training.data.base import DataDirectories, TaskData
from omnivec2.training.evaluation.all_heads import measure_all
from omnivec2.training.evaluation.all_heads.head_tests import MeasuringOptions
from omnivec2.training.evaluation.all_heads.measure_all import AllHeads, graph_digest, shown_on
from omnivec2.training.evaluation.graph_sessions import HeadRunner
from omnivec2.training.evaluation.record.looks_ledger import LooksLedger, read_looks
from omnivec2.training.evaluation.record.results_file import Figure, FigureKind
from tests.support.training import tiny_tasks


class _Place:
    """A checkpoint of one head that is right where the first number is positive."""

    def __init__(self, folder: Path, task: TaskData) -> None:
        self.folder, self.task, self.opened = folder, task, 0
        modality, name = task.route.split("/")
        self.spec = HeadSpec.model_validate({
            "modality": modality, "task": name, "family": task.family,
            "inputs": preprocessor_for(task.preprocess).inputs, "outputs": (),
            "preprocess": task.preprocess, "labels": task.labels, "network": "tiny",
        })  # fmt: skip
        self.ledger = LooksLedger(folder / "looks.jsonl", "a trial")
        (folder / "models" / self.spec.name).mkdir(parents=True)
        self.write()

    def write(self, **fields: object) -> None:
        spec = self.spec.model_copy(update=fields)
        (self.folder / "models" / spec.name / "head.json").write_text(spec.model_dump_json())

    def open(self, _: HeadSpec) -> HeadRunner:
        self.opened += 1

        def run(batch: Mapping[str, Array]) -> dict[str, Array]:
            first = batch["numbers"][:, :1]
            return {"logits": np.concatenate([-first, first], axis=1)}

        return HeadRunner(run)

    def measure(self, most_samples: int | None = 30) -> tuple[Figure, ...]:
        heads = AllHeads(
            self.folder, DataDirectories(self.folder, self.folder / "cache"), self.folder / "kept",
            "auto", self.open, MeasuringOptions("test", most_samples, self.folder / "cache"),
            self.ledger,
        )  # fmt: skip
        with shown_on(Console(file=io.StringIO())) as progress:
            ((_, figures),) = heads.measure(progress)
        return figures


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[TaskData], _Place]:
    def place(task: TaskData) -> _Place:
        monkeypatch.setattr(measure_all, "task_of", lambda *_: task)
        return _Place(tmp_path, task)

    return place


def test_a_head_is_measured_beside_simple_models_and_trees_and_never_twice(
    make: Callable[[TaskData], _Place],
) -> None:
    place = make(tiny_tasks.classification())
    (figure,) = place.measure()
    assert (figure.kind, figure.value, figure.samples) == (FigureKind.TEST, 1.0, 30)
    assert set(figure.simple) == {"majority", "linear", "boosted trees"}
    assert figure.ece is not None
    assert (figure.low, figure.high) == (1.0, 1.0)
    assert place.measure() == (figure,)
    assert place.opened == 1
    assert len(read_looks(place.ledger.path)) == 1


def test_a_head_that_changed_is_measured_again(make: Callable[[TaskData], _Place]) -> None:
    place = make(tiny_tasks.classification())
    place.measure()
    place.write(checkpoint_digest="f" * 64)
    place.measure()
    place.measure(most_samples=20)
    assert place.opened == 3


def test_a_small_set_is_also_measured_in_five_folds(
    make: Callable[[TaskData], _Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnivec2.training.evaluation.all_heads import five_folds
    from omnivec2.training.evaluation.all_heads.head_tests import MeasuredFigure
    from omnivec2.training.evaluation.metrics.head_result import HeadResult
    from omnivec2.training.evaluation.resampling.sampled_figure import mean_figure

    def folds(_: Path, spec: HeadSpec, *__: object) -> MeasuredFigure:
        result = HeadResult(spec.route, "folds", "five-fold", 180, "accuracy", 0.9, {}, True)
        return MeasuredFigure(result, mean_figure(np.ones(180)))

    monkeypatch.setattr(five_folds, "measure_folds", folds)
    place = make(tiny_tasks.classification())
    test, fold = place.measure(most_samples=None)
    assert (test.kind, fold.kind) == (FigureKind.TEST, FigureKind.FIVE_FOLD)
    assert "refitted on frozen features" in fold.note
    assert [look.data for look in read_looks(place.ledger.path)] == ["signs", "folds"]


def test_windows_of_forecasts_are_drawn_in_blocks_of_their_horizon(
    make: Callable[[TaskData], _Place],
) -> None:
    from dataclasses import replace

    from omnivec2.training.evaluation.all_heads.head_tests import run_test
    from omnivec2.training.evaluation.graph_sessions import HeadGraph

    task = replace(tiny_tasks.forecasting(), horizon=8)
    place = make(tiny_tasks.classification())
    model = HeadGraph(place.spec, HeadRunner(lambda batch: {"mean": batch["values"][:, -8:]}))
    (found,) = run_test(model, task, MeasuringOptions("test", None, None), lambda _: None)
    assert found.figure.block == 8
    assert found.result.baselines == {}


def test_graphs_are_told_apart_by_the_digests_of_their_parts(
    make: Callable[[TaskData], _Place],
) -> None:
    place = make(tiny_tasks.classification())
    file = place.folder / "models" / place.spec.name / "ensemble.json"
    file.write_text('{"parts": {"trunk": "a"}}')
    first = graph_digest(place.folder, place.spec)
    file.write_text('{"parts": {"trunk": "b"}, "created": "today"}')
    assert graph_digest(place.folder, place.spec) != first
