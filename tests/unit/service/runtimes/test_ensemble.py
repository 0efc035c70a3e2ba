from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.errors import ArtifactError, OverloadedError
from omnivec2.familiarity import Familiarity
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from service.runtimes.ensemble import (
    Dataflow,
    check_steps,
    record_spans,
    resolve_dataflow,
    run_steps,
    single_part,
)
from tests.support.checkpoints.references import made_up_reference
from tests.support.service_parts.service_fakes import letters_spec

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


def test_a_model_that_knows_its_training_data_hands_out_the_summaries_of_the_trunk() -> None:
    trunk = Step("trunk", "2", {"x": "tokens"}, {"y": "features", "z": "f_mean"})
    known = Model(
        letters_spec(), "1", (TOKENS, trunk, head("head_a")),
        familiarity=Familiarity(made_up_reference()),
    )  # fmt: skip

    async def run_part(part: str, _: str, inputs: Mapping[str, Array]) -> Inference:
        return Inference({"y": inputs["x"] * PARTS[part], "z": inputs["x"]}, 0.0, 0.0)

    (answer,) = asyncio.run(run_steps([known], LETTERS, run_part))
    np.testing.assert_allclose(answer.outputs["f_mean"], LETTERS["letters"] * 10)
    assert list(answer.outputs) == ["embedding", "f_mean"]
    with pytest.raises(ArtifactError, match="wants 'f_mean'"):
        check_steps(Model(known.spec, "1", (TOKENS, TRUNK, head("head_a")),
                          familiarity=known.familiarity))  # fmt: skip


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


# --- dataflows ----------------------------------------------------------------------------


def parts_of(dataflow: Dataflow, level: int) -> list[str]:
    return [dataflow.nodes[node].part for node in dataflow.levels[level]]


def test_a_dataflow_has_each_distinct_part_once_level_by_level() -> None:
    models = [model(TOKENS, TRUNK, head(name)) for name in ("head_a", "head_b")]
    dataflow = resolve_dataflow(models)
    assert [parts_of(dataflow, n) for n in range(3)] == [
        ["tokenizer"],
        ["trunk"],
        ["head_a", "head_b"],
    ]
    assert dataflow.owned == ((0, 1, 2), (3,))
    assert dataflow.nodes[dataflow.meeting_node].part == "trunk"
    assert dataflow.meeting_level == 1


def test_a_model_in_one_piece_is_a_dataflow_of_one_part() -> None:
    whole = model()
    dataflow = resolve_dataflow([whole])
    assert [(node.part, node.version) for node in dataflow.nodes] == [(whole.name, "1")]
    assert [name for name, _ in dataflow.nodes[0].inputs] == ["letters"]
    assert dataflow.outputs[0].keys() == {"embedding"}
    assert (dataflow.meeting_node, dataflow.meeting_level) == (0, 0)


def test_a_part_by_itself_takes_the_inputs_of_the_request() -> None:
    dataflow = single_part("decoder", "2", ("previous", "memory"), ("state",))
    (node,) = dataflow.nodes
    assert [(name, origin.tensor) for name, origin in node.inputs] == [
        ("previous", "previous"),
        ("memory", "memory"),
    ]
    assert not node.sources
    assert dataflow.outputs[0].keys() == {"state"}


def test_a_dataflow_is_remembered_and_keeps_no_model_alive() -> None:
    one = model(TOKENS, TRUNK, head("head_a"))
    assert resolve_dataflow([one]) is resolve_dataflow([one])
    other = model(TOKENS, TRUNK, head("head_a"))
    assert resolve_dataflow([other]) is not resolve_dataflow([one])
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


class RecordedSpans:
    """Keeps the stages it is given."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, float, float]] = []

    def record_stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        self.stages.append((model, name, started, seconds))


def test_each_part_has_a_span_of_its_wait_and_one_of_its_computation() -> None:
    models = [model(TOKENS, TRUNK, head(name)) for name in ("head_a", "head_b")]
    runs = [Inference({}, wait, seconds) for wait, seconds in ((1, 2), (0, 4), (0, 1), (1, 2))]
    spans = RecordedSpans()
    record_spans(spans, resolve_dataflow(models), runs, started=100.0)
    assert spans.stages == [
        ("tokenizer", "queue", 100, 1),
        ("tokenizer", "compute", 101, 2),
        ("trunk", "queue", 103, 0),
        ("trunk", "compute", 103, 4),
        ("head_a", "queue", 107, 0),
        ("head_a", "compute", 107, 1),
        ("head_b", "queue", 107, 1),
        ("head_b", "compute", 108, 2),
    ]
