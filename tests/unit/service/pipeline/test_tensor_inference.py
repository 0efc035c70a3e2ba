"""Tensors in, tensors out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, RefusedTensorsError, StaleModelError, TooLargeError
from omnivec2.preprocess import Array
from service.pipeline.answers import TensorAnswer
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.pipeline.tensor_inference import ReadTensors
from service.request_context import RequestContext, in_request
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.service_parts.service_fakes import FakeRuntime, RecordingMeter

SENTIMENT = classification("text/sentiment", "no", "yes")


def infer_tensors(
    runtime: FakeRuntime,
    read: ReadTensors,
    meter: RecordingMeter | None = None,
    **options: int,
) -> TensorAnswer:
    """Run tensors through ``text/sentiment``."""

    async def main() -> TensorAnswer:
        plane = DataPlane(runtime, 1, **options)
        try:
            with in_request(RequestContext(work=meter or RecordingMeter())):
                return await plane.infer_tensors(plane.head("text", "sentiment"), read, 8)
        finally:
            plane.close()

    return asyncio.run(main())


def read_ids(head: Head) -> Mapping[str, Array]:
    ids = np.array([[5, 6, 7], [8, 9, 10]], np.int32)
    return {tensor.name: ids for tensor in head.spec.inputs}


def test_tensors_are_timed_and_measured_like_other_inputs() -> None:
    meter = RecordingMeter()
    answer = infer_tensors(FakeRuntime(SENTIMENT), read_ids, meter)
    assert answer.outputs["logits"].tolist() == [[5, 1], [8, 1]]
    assert (answer.model.name, answer.model.version) == ("text_sentiment", "7")
    assert (answer.timings.queue, answer.timings.compute) == (0.25, 0.5)
    assert answer.timings.decode > 0
    assert answer.timings.preprocess == answer.timings.postprocess == 0
    assert (meter.inputs, meter.tokens, meter.seconds) == ([1], [6], [0.5])


def test_long_tensors_of_many_rows_are_run_in_slices_within_memory() -> None:
    meter = RecordingMeter()
    runtime = FakeRuntime(SENTIMENT)
    answer = infer_tensors(runtime, read_ids, meter, max_token_pairs=3 * 3)
    assert answer.outputs["logits"].tolist() == [[5, 1], [8, 1]]
    assert (answer.timings.queue, answer.timings.compute) == (0.5, 1.0)
    assert (meter.tokens, meter.seconds) == ([6], [0.5, 0.5])


def test_tensors_are_read_again_for_the_head_that_took_the_place_of_theirs() -> None:
    runtime = FakeRuntime(SENTIMENT)
    versions = []

    def read(head: Head) -> Mapping[str, Array]:
        versions.append(head.model.version)
        if len(versions) == 1:
            runtime.upcoming = {SENTIMENT.name: Model(SENTIMENT, "8")}
        return read_ids(head)

    answer = infer_tensors(runtime, read)
    assert versions == ["7", "8"]
    assert answer.model.version == "8"


def test_tensors_for_a_removed_model_get_no_second_attempt() -> None:
    runtime = FakeRuntime(SENTIMENT)
    attempts = []

    def read(head: Head) -> Mapping[str, Array]:
        attempts.append(head)
        topic = classification("text/topic", "a", "b")
        runtime.upcoming = {topic.name: Model(topic, "1")}
        return read_ids(head)

    with pytest.raises(StaleModelError):
        infer_tensors(runtime, read)
    assert len(attempts) == 1


class FailingRuntime(FakeRuntime):
    """Fails in one way, or gives one value in all outputs."""

    def __init__(self, failure: Exception | None = None, value: float = 0.0) -> None:
        super().__init__(SENTIMENT)
        self._infer_failure = failure
        self._value = value

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        if self._infer_failure is not None:
            raise self._infer_failure
        return Inference({"logits": np.full((2, 2), self._value, np.float32)}, 0.0, 0.0)


def test_values_that_the_engine_refuses_are_the_fault_of_who_made_the_tensors() -> None:
    runtime = FailingRuntime(RefusedTensorsError("an index"))
    with pytest.raises(InvalidInputError, match="text_sentiment cannot take these values"):
        infer_tensors(runtime, read_ids)


def test_outputs_that_are_not_finite_are_no_answer_to_tensors_either() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        infer_tensors(FailingRuntime(value=np.nan), read_ids)


def test_a_failure_of_the_reader_is_the_answer() -> None:
    def refuse(head: Head) -> Mapping[str, Array]:
        raise TooLargeError(f"too many rows for {head.spec.name}")

    with pytest.raises(TooLargeError, match="text_sentiment"):
        infer_tensors(FakeRuntime(SENTIMENT), refuse)
