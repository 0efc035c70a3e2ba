"""Bare loops of tiny heads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from export.repository.layouts import Layout
from loadtests.benchmarks import bare_loop
from loadtests.benchmarks.bare_loop import (
    BareLoop,
    LoopInput,
    engines_to_try,
    fastest_loop,
    load_bare_loop,
    run_in_steps,
)
from loadtests.support.measured_gateway import CORES
from omnivec2.errors import ArtifactError
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.find_engine import find_engine
from tests.support.model_repositories.tiny_models import classification, write_repository

SENTIMENT = classification("text/sentiment", "no", "yes")
SENTENCE = LoopInput(
    "text/sentiment", json.dumps({"inputs": "a fine film"}).encode(), "application/json"
)


def repository(directory: Path, layout: Layout) -> Path:
    write_repository(directory, [SENTIMENT], layout=layout)
    return directory


def make_loop(batches: list[int]) -> BareLoop:
    """A loop that notes the batches it runs."""

    def run(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        batches.append(len(inputs["x"]))
        return inputs

    return BareLoop("stub", "fp32", "fused", lambda: {"x": np.zeros(2)}, run, max_rows=8)


def test_one_at_a_time_runs_batches_of_one() -> None:
    batches: list[int] = []
    load = make_loop(batches).one_at_a_time(0.02)
    assert set(batches) == {1}
    assert len(load.seconds) == len(batches)
    assert load.rate > 0


def test_every_core_runs_batches_and_their_samples_count() -> None:
    batches: list[int] = []
    rate = make_loop(batches).samples_per_second(4, 0.05)
    assert set(batches) == {4}
    assert len(batches) >= CORES
    assert rate > 4


def test_the_best_batch_is_that_of_most_samples_and_within_the_graphs_limit() -> None:
    batches: list[int] = []
    batch, rate = make_loop(batches).best_batch(0.02)
    assert set(batches) == {1, 4, 8}
    assert batch in batches
    assert rate > 0


def test_steps_pass_tensors_on_under_their_names_in_the_model() -> None:
    steps = (
        Step("double", "1", {"x": "pixels"}, {"y": "tokens"}),
        Step("increment", "1", {"x": "tokens"}, {"y": "logits"}),
    )
    run = run_in_steps(
        steps,
        {"double": lambda given: {"y": 2 * given["x"]}, "increment": lambda g: {"y": g["x"] + 1}},
    )
    assert run({"pixels": np.array([3.0])})["logits"] == [7.0]


def test_a_model_in_one_piece_is_its_graph() -> None:
    def graph(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return inputs

    assert run_in_steps((), {"whole": graph}) is graph


@pytest.mark.parametrize("layout", [*Layout])
def test_both_layouts_give_the_answer_of_the_head(tmp_path: Path, layout: Layout) -> None:
    loop = load_bare_loop(
        repository(tmp_path, layout), SENTENCE, find_engine("onnxruntime"), "fp32"
    )
    assert loop.describe() == f"onnxruntime fp32, {layout} layout"
    sample = {name: array[None] for name, array in loop.prepare().items()}
    logits = loop.run(sample)["logits"]
    assert logits.shape == (1, 2)
    assert np.isfinite(logits).all()


def test_the_fastest_of_all_layouts_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BareLoop, "best_batch", lambda loop: (4, 50.0 if loop.layout == "shared" else 5.0)
    )
    repositories = [repository(tmp_path / layout, layout) for layout in Layout]
    loop, batch = fastest_loop(repositories, SENTENCE, ("onnxruntime", "fp32"))
    assert (loop.layout, loop.precision, batch) == ("shared", "fp32", 4)


def test_only_what_the_service_chose_is_tried() -> None:
    ((engine, precision),) = engines_to_try(("onnxruntime", "fp32"))
    assert (engine.name, precision) == ("onnxruntime", "fp32")


def test_without_a_choice_every_precision_of_every_installed_engine_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bare_loop, "engine_names", lambda: ["not_installed", "onnxruntime"])
    tried = engines_to_try(None)
    assert {engine.name for engine, _ in tried} == {"onnxruntime"}
    assert [p for _, p in tried] == list(find_engine("onnxruntime").precisions)


def test_a_precision_that_the_engine_has_not_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="does not compute in fp64"):
        engines_to_try(("onnxruntime", "fp64"))
