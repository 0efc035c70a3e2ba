from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.errors import ArtifactError, OverloadedError
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from service.runtimes.ensemble import check_steps, run_steps
from tests.support.service_fakes import letters_spec

TOKENS = Step("tokenizer", "1", {"x": "letters"}, {"y": "tokens"})
TRUNK = Step("trunk", "2", {"x": "tokens"}, {"y": "features"})
LETTERS = {"letters": np.array([[1.0], [2.0]], np.float32)}

# What the parts of these tests do to their only input.
PARTS = {"tokenizer": 10.0, "trunk": 100.0, "head_a": 1.0, "head_b": -1.0}


def head(name: str, version: str = "1") -> Step:
    return Step(name, version, {"x": "features"}, {"y": "embedding"})


def model(*steps: Step) -> Model:
    return Model(letters_spec(), "1", steps)


class Parts:
    """Multiplies; remembers which parts ran and how many at the same time."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []
        self.now = 0
        self.most = 0
        self.failing = ""

    async def run(self, part: str, version: str, inputs: Mapping[str, Array]) -> Inference:
        self.ran.append((part, version))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.01)
            if part == self.failing:
                raise OverloadedError(f"{part} is full")
            return Inference({"y": inputs["x"] * PARTS[part]}, 0.25, 0.5)
        finally:
            self.now -= 1


def test_the_steps_of_a_model_run_in_their_order() -> None:
    parts = Parts()
    (answer,) = asyncio.run(run_steps([model(TOKENS, TRUNK, head("head_a"))], LETTERS, parts.run))
    assert parts.ran == [("tokenizer", "1"), ("trunk", "2"), ("head_a", "1")]
    np.testing.assert_allclose(answer.outputs["embedding"], LETTERS["letters"] * 1000)
    assert (answer.queue_seconds, answer.compute_seconds) == (0.75, 1.5)


def test_steps_in_common_run_once_and_their_time_counts_once() -> None:
    parts = Parts()
    models = [model(TOKENS, TRUNK, head(name)) for name in ("head_a", "head_b")]
    first, second = asyncio.run(run_steps(models, LETTERS, parts.run))
    assert sorted(part for part, _ in parts.ran) == ["head_a", "head_b", "tokenizer", "trunk"]
    np.testing.assert_allclose(first.outputs["embedding"], -second.outputs["embedding"])
    assert (first.compute_seconds, second.compute_seconds) == (1.5, 0.5)


def test_heads_run_at_the_same_time() -> None:
    parts = Parts()
    models = [model(TOKENS, TRUNK, head(name)) for name in ("head_a", "head_b")]
    asyncio.run(run_steps(models, LETTERS, parts.run))
    assert parts.most == 2


def test_parts_of_another_version_or_with_other_inputs_run_by_themselves() -> None:
    parts = Parts()
    raw = Step("trunk", "2", {"x": "letters"}, {"y": "features"})
    models = [
        model(TOKENS, TRUNK, head("head_a")),
        model(TOKENS, TRUNK, head("head_a", "3")),
        model(raw, head("head_a")),
    ]
    answers = asyncio.run(run_steps(models, LETTERS, parts.run))
    assert parts.ran.count(("trunk", "2")) == 2
    assert sorted(v for part, v in parts.ran if part == "head_a") == ["1", "1", "3"]
    scales = [float(a.outputs["embedding"][0, 0]) for a in answers]
    assert scales == [1000, 1000, 100]


def test_the_first_failure_is_raised_as_it_is_and_stops_the_rest() -> None:
    parts = Parts()
    parts.failing = "trunk"
    models = [model(TOKENS, TRUNK, head(name)) for name in ("head_a", "head_b")]
    with pytest.raises(OverloadedError, match="trunk is full"):
        asyncio.run(run_steps(models, LETTERS, parts.run))
    assert {part for part, _ in parts.ran} == {"tokenizer", "trunk"}


def test_a_tensor_that_nothing_gives_is_named() -> None:
    with pytest.raises(ArtifactError, match="image_embedding: trunk wants 'tokens'"):
        check_steps(model(TRUNK, head("head_a")))
    with pytest.raises(ArtifactError, match="the head spec wants 'embedding'"):
        asyncio.run(run_steps([model(TOKENS, TRUNK)], LETTERS, Parts().run))
    check_steps(model(TOKENS, TRUNK, head("head_a")))
