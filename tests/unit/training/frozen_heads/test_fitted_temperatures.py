"""Temperatures that are fitted to a head's answers on validation data, through its graph."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.errors import InvalidParameterError
from omnivec2.preprocess import Array, Sample, preprocessor_for
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation import evaluate_heads
from omnivec2.training.evaluation.predictions import calibrated
from omnivec2.training.frozen_heads.fitted_temperatures import FittedTemperature, calibrate_heads
from tests.support.training import tiny_tasks

QUIET = Console(file=io.StringIO())
TOO_SURE = 4.0


def spec_of(task: TaskData) -> HeadSpec:
    return HeadSpec(
        modality=task.modality,
        task=task.route.partition("/")[2],
        family=task.family,
        inputs=preprocessor_for(task.preprocess).inputs,
        outputs=(),
        preprocess=task.preprocess,
        labels=task.labels,
        targets=task.targets,
        network="tiny",
    )


def noisy(task: TaskData) -> TaskData:
    """Labels that are drawn with the probability that the sigmoid of the first number gives."""
    generator = np.random.default_rng(3)

    def drawn(part: Split) -> Split:
        chances = [1 / (1 + np.exp(-sample["numbers"][0])) for sample in part.samples]
        return Split(part.samples, (generator.random(len(part)) < chances).astype(np.int64))

    return TaskData(**{**vars(task), "splits": {n: drawn(p) for n, p in task.splits.items()}})


class TooSure:
    """A graph whose logits are as many times too large."""

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Array]:
        first = np.array([sample["numbers"][0] for sample in samples], dtype=np.float32)
        return {"logits": TOO_SURE * np.stack([np.zeros_like(first), first], axis=1)}


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tasks = {t.route: t for t in (noisy(tiny_tasks.classification(2000)), tiny_tasks.regression())}
    folder = tmp_path / "checkpoint"
    heads = [spec_of(task) for task in tasks.values()]
    written = write_checkpoint(
        folder, config={}, tensors={"trunk.x": np.ones(3, np.float32)}, heads=heads
    )
    assert isinstance(written, Checkpoint)
    monkeypatch.setattr(evaluate_heads, "load_task", lambda route, *_, **__: tasks[route])
    monkeypatch.setattr(evaluate_heads, "open_sessions", lambda *_: TooSure())
    monkeypatch.setattr(evaluate_heads, "HeadGraph", Graph)
    return folder


class Graph(TooSure):
    def __init__(self, spec: HeadSpec, runner: object) -> None:
        self.spec = spec


def calibrated_heads(checkpoint: Path, only: Sequence[str] = ()) -> list[FittedTemperature]:
    return calibrate_heads(checkpoint, checkpoint, checkpoint, QUIET, only=only)


def head_of(checkpoint: Path, name: str) -> HeadSpec:
    return HeadSpec.model_validate_json((checkpoint / "models" / name / "head.json").read_text())


def test_the_temperature_of_a_head_that_is_too_sure_is_found_and_kept(checkpoint: Path) -> None:
    [fitted] = calibrated_heads(checkpoint)
    assert fitted.route == "tabular/sign"
    assert fitted.samples == 2000
    assert fitted.temperature == pytest.approx(TOO_SURE, rel=0.2)
    assert fitted.after < fitted.before / 2
    assert head_of(checkpoint, "tabular_sign").temperature == fitted.temperature


def test_fitting_again_changes_next_to_nothing(checkpoint: Path) -> None:
    [first] = calibrated_heads(checkpoint)
    [second] = calibrated_heads(checkpoint, only=["tabular/sign"])
    assert second.temperature == pytest.approx(first.temperature, rel=0.02)
    assert second.before == pytest.approx(first.after, abs=0.01)


def test_a_temperature_is_kept_where_another_may_be_better_by_chance(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = noisy(tiny_tasks.classification(6))
    monkeypatch.setattr(evaluate_heads, "load_task", lambda *_, **__: few)
    monkeypatch.setattr(f"{__name__}.TOO_SURE", 1.3)
    [fitted] = calibrated_heads(checkpoint, only=["tabular/sign"])
    assert fitted.temperature == 1.0
    assert fitted.after == fitted.before


def test_a_head_is_not_made_surer_by_data_that_helped_to_choose_its_weights(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.TOO_SURE", 0.5)
    [fitted] = calibrated_heads(checkpoint, only=["tabular/sign"])
    assert fitted.temperature == 1.0
    assert fitted.after == fitted.before


def test_a_head_without_classes_has_no_temperature(checkpoint: Path) -> None:
    route = tiny_tasks.regression().route
    assert head_of(checkpoint, route.replace("/", "_")).family is TaskFamily.REGRESSION
    with pytest.raises(InvalidParameterError, match=f"{route} has no temperature"):
        calibrated_heads(checkpoint, only=[route])


def test_outputs_are_measured_as_they_are_served() -> None:
    spec = spec_of(tiny_tasks.classification())
    outputs = {"logits": np.array([[2.0, 4.0]], np.float32)}
    assert calibrated(spec, outputs) is outputs
    cooler = calibrated(spec.model_copy(update={"temperature": 2.0}), outputs)
    np.testing.assert_array_equal(cooler["logits"], [[1.0, 2.0]])
    values = {"values": outputs["logits"]}
    assert calibrated(spec.model_copy(update={"temperature": 2.0}), values) is values


def test_a_temperature_may_be_fitted_to_some_of_the_samples(checkpoint: Path) -> None:
    [fitted] = calibrate_heads(checkpoint, checkpoint, checkpoint, QUIET, most_samples=150)
    assert fitted.samples == 150
    assert fitted.temperature > 1
