from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

from omnivec2.errors import DeadlineExceededError, ModelNotReadyError
from omnivec2.generation import Search, SearchOptions
from omnivec2.preprocess import Array
from omnivec2.spec import Generation
from service.pipeline.text_generation import TextGenerator
from service.request_context import REQUEST, RequestContext, in_request
from service.runtimes.base import Inference, Model
from tests.support.networks.writing import head_that_writes
from tests.support.service_parts.service_fakes import FakeRuntime

WORDS = [0, 100, 101, 102, 1000, 1001]
SPEC = head_that_writes(WORDS)
OPTIONS = SearchOptions(max_new_tokens=8, no_repeat_ngram_size=0)


class CountingRuntime(FakeRuntime):
    """A runtime whose decoder writes as many words as a row's memory says, then the end.

    Attributes:
        steps: The number of rows of every step.
        value: The value of the states that it gives.
    """

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.steps: list[int] = []
        self.value = 0.0

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        await asyncio.sleep(0)
        self.steps.append(len(inputs["memory"]))
        assert sorted(inputs) == ["attention_mask", "memory", "past", "previous_ids", "step"]
        wanted = inputs["memory"][:, 0, 0]
        generated = np.zeros((len(wanted), 1, len(WORDS)), np.float32)
        ended = inputs["step"][:, 0] >= wanted
        generated[np.arange(len(wanted)), 0, np.where(ended, 3, 4)] = 1
        outputs = {
            "generated": generated,
            "copied": np.zeros((len(wanted), 1, inputs["memory"].shape[1]), np.float32),
            "state": np.full((len(wanted), 1, 4), self.value, np.float32),
        }
        return Inference(outputs, 0.5, 0.25)


def requested(lengths: list[int]) -> tuple[dict[str, Array], dict[str, Array]]:
    rows = len(lengths)
    inputs = {
        "input_ids": np.full((rows, 3), 1001, np.int32),
        "attention_mask": np.ones((rows, 3), np.int32),
    }
    memory = np.zeros((rows, 20, 4), np.float32)
    memory[:, 0, 0] = lengths
    return inputs, {"memory": memory}


async def in_a_thread(call: Callable[[], None]) -> None:
    await asyncio.to_thread(call)


def write(runtime: CountingRuntime, lengths: list[int], seconds: float = 5.0) -> Inference:
    async def run() -> Inference:
        context = replace(REQUEST.get(), deadline=time.monotonic() + seconds)
        with in_request(context):
            model = runtime.models()[SPEC.name]
            return await TextGenerator(runtime).generate(
                model, OPTIONS, *requested(lengths), in_a_thread
            )

    return asyncio.run(run())


def test_every_row_is_generated_to_its_own_end() -> None:
    runtime = CountingRuntime()
    found = write(runtime, [2, 5])
    assert found.outputs["ids"].tolist() == [[1000, 1000, 0, 0, 0], [1000] * 5]
    assert runtime.steps == [1] * (3 + 6)


def test_the_time_of_all_steps_is_returned() -> None:
    found = write(CountingRuntime(), [2, 5])
    assert (found.queue_seconds, found.compute_seconds) == (9 * 0.5, 9 * 0.25)


def test_the_deadline_is_checked_before_every_step() -> None:
    runtime = CountingRuntime()
    with pytest.raises(DeadlineExceededError, match="text_summarization"):
        write(runtime, [2], seconds=0.0)
    assert runtime.steps == []


def test_a_state_that_is_not_finite_ends_the_search() -> None:
    runtime = CountingRuntime()
    runtime.value = float("nan")
    with pytest.raises(ModelNotReadyError, match="finite"):
        write(runtime, [2])
    assert runtime.steps == [1]


def test_a_head_that_writes_nothing_has_no_decoder() -> None:
    runtime = CountingRuntime()
    plain = Model(SPEC.model_copy(update={"generation": None}))
    with pytest.raises(ModelNotReadyError, match="no decoder"):
        asyncio.run(TextGenerator(runtime).generate(plain, OPTIONS, *requested([1]), in_a_thread))


class RecordedRequest:
    """Records the work and the spans of a request."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.blocks: list[tuple[str, str]] = []

    def expect_inputs(self, count: int) -> None:
        raise AssertionError(count)

    def record_tokens(self, tokens: int) -> None:
        raise AssertionError(tokens)

    def record_seconds(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def record_stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        raise AssertionError(name)

    def stage(self, name: str, model: str) -> AbstractContextManager[None]:
        self.blocks.append((name, model))
        return nullcontext()

    def call(self, model: str, address: str) -> AbstractContextManager[Mapping[str, str]]:
        raise AssertionError(address)


def test_every_step_counts_as_work_of_the_request_when_it_is_done() -> None:
    recorded = RecordedRequest()
    with in_request(RequestContext(work=recorded)):
        write(CountingRuntime(), [2, 5])
    assert recorded.seconds == [0.25] * 9


def test_a_search_is_one_stage_of_a_trace() -> None:
    recorded = RecordedRequest()
    with in_request(RequestContext(spans=recorded)):
        write(CountingRuntime(), [2, 5])
    assert recorded.blocks == [("compute", "decoder_text_summarization")]


def test_nothing_of_a_search_is_computed_in_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[int] = set()

    class Watched(Search):
        def __init__(
            self, generation: Generation, options: SearchOptions, source_ids: Array
        ) -> None:
            threads.add(threading.get_ident())
            super().__init__(generation, options, source_ids)

        def advance(self, outputs: Mapping[str, Array]) -> None:
            threads.add(threading.get_ident())
            super().advance(outputs)

    monkeypatch.setattr("service.pipeline.text_generation.Search", Watched)
    write(CountingRuntime(), [2, 5])
    assert threads
    assert threading.get_ident() not in threads
