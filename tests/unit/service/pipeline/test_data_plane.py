from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import (
    InvalidInputError,
    InvalidParameterError,
    RefusedTensorsError,
    StaleModelError,
    TooLargeError,
    UndecodableError,
    UnknownModelError,
)
from omnivec2.preprocess import Array
from service.pipeline.abandonment import AbandonedError, Abandonment
from service.pipeline.answers import Answer, TensorAnswer
from service.pipeline.data_plane import DataPlane, ReadTensors
from service.pipeline.host_stages import FileInput, Head, JsonInput, PreparedInput, RawInput
from service.request_context import RequestContext, in_request
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.service_parts.service_fakes import (
    FakeRuntime,
    RecordingMeter,
    letters_head,
    letters_spec,
)

SENTIMENT = classification("text/sentiment", "no", "yes")


class Plane:
    """A data plane without models of its own; heads are handed in."""

    def __init__(self, runtime: FakeRuntime, chunks_ahead: int = 2) -> None:
        self.runtime = runtime
        self.head = letters_head(runtime)
        runtime.models = dict  # type: ignore[method-assign]
        self.plane = DataPlane(runtime, 2, chunks_ahead)

    def predict(
        self,
        *inputs: RawInput,
        parameters: Mapping[str, Any] | None = None,
        batched: bool | None = None,
    ) -> Answer:
        call = self.plane.predict(
            self.head,
            inputs,
            parameters or {"normalize": False},
            batched=len(inputs) > 1 if batched is None else batched,
        )
        try:
            return asyncio.run(call)
        finally:
            self.plane.close()


@pytest.fixture
def plane() -> Plane:
    return Plane(FakeRuntime(letters_spec()))


def texts(*values: bytes) -> Sequence[FileInput]:
    return [FileInput(value) for value in values]


def test_an_input_goes_through_all_stages(plane: Plane) -> None:
    answer = plane.predict(FileInput(b"a"))
    assert json.loads(answer.body) == [[97.0, 1.0]]
    (model,) = answer.models
    assert (model.name, model.version) == ("image_embedding", "7")
    timings = vars(answer.timings)
    assert timings["compute"] == 0.5
    assert timings["queue"] >= 0.25
    assert all(seconds >= 0 for seconds in timings.values())


def test_answers_come_in_the_order_of_the_inputs(plane: Plane) -> None:
    answer = plane.predict(*texts(b"a", b"b", b"c"))
    assert [vector[0] for vector in json.loads(answer.body)] == [97, 98, 99]


def test_json_inputs_are_decoded_from_base64(plane: Plane) -> None:
    assert json.loads(plane.predict(JsonInput("YQ==")).body)[0][0] == 97


def test_an_input_of_many_samples_is_computed_in_chunks(plane: Plane) -> None:
    plane.predict(FileInput(b"abcdefghij"))
    assert sorted(map(len, plane.runtime.batches)) == [2, 4, 4]


def threads_of(plane: Plane, monkeypatch: pytest.MonkeyPatch, *inputs: RawInput) -> list[bool]:
    """Answer inputs one after the other; return which were decoded in the event loop's thread."""
    found: list[bool] = []
    decode = plane.head.preprocessor.decode
    loop_thread = threading.get_ident()

    def recorded(data: bytes, media_type: str | None = None) -> Any:
        found.append(threading.get_ident() == loop_thread)
        return decode(data, media_type)

    monkeypatch.setattr(plane.head.preprocessor, "decode", recorded)

    async def main() -> None:
        for given in inputs:
            await plane.plane.predict(plane.head, [given], {}, batched=False)

    try:
        asyncio.run(main())
    finally:
        plane.plane.close()
    return found


def test_small_inputs_are_prepared_in_the_event_loop_once_their_cost_is_known(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.head.preprocessor, "may_expand", lambda _: False)
    assert threads_of(plane, monkeypatch, *texts(b"a", b"b", b"c")) == [False, True, True]


def test_what_a_codec_may_expand_is_always_prepared_in_threads(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert threads_of(plane, monkeypatch, *texts(b"a", b"b", b"c")) == [False] * 3


def test_several_inputs_of_a_request_are_prepared_in_threads(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.head.preprocessor, "may_expand", lambda _: False)
    threads: set[str] = set()
    decode = plane.head.preprocessor.decode

    def recorded(data: bytes, media_type: str | None = None) -> Any:
        threads.add(threading.current_thread().name)
        return decode(data, media_type)

    monkeypatch.setattr(plane.head.preprocessor, "decode", recorded)
    plane.head.costs.are_small(1)
    assert plane.head.costs.are_small(1)
    plane.predict(*texts(b"a", b"b", b"c"))
    assert all(name.startswith("host") for name in threads)


def test_a_wrong_input_in_a_list_is_named_by_its_place(plane: Plane) -> None:
    with pytest.raises(UndecodableError) as caught:
        plane.predict(*texts(b"a", b"!", b"c"))
    assert caught.value.field == "inputs[1]"


def test_a_wrong_lone_input_has_no_place(plane: Plane) -> None:
    with pytest.raises(UndecodableError) as caught:
        plane.predict(FileInput(b"!"))
    assert caught.value.field == "inputs"


def test_an_unknown_parameter_is_named(plane: Plane) -> None:
    with pytest.raises(InvalidParameterError, match="topk") as caught:
        plane.predict(FileInput(b"a"), parameters={"topk": 1})
    assert caught.value.field == "parameters.topk"
    assert "normalize" in caught.value.known


def test_a_parameter_of_the_wrong_kind_is_named(plane: Plane) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        plane.predict(FileInput(b"a"), parameters={"normalize": "perhaps"})
    assert caught.value.field == "parameters.normalize"


def test_no_inputs_are_refused(plane: Plane) -> None:
    with pytest.raises(InvalidInputError):
        plane.predict(batched=True)


def test_more_inputs_than_the_limit_are_refused(plane: Plane) -> None:
    with pytest.raises(TooLargeError):
        plane.predict(*texts(*[b"a"] * 5))


def test_an_input_without_samples_is_refused(plane: Plane) -> None:
    with pytest.raises(InvalidInputError, match="no samples"):
        plane.predict(FileInput(b""))


def test_outputs_that_are_not_finite_are_no_answer(plane: Plane) -> None:
    async def overflow(model: Model, inputs: Mapping[str, Array]) -> Inference:
        return Inference({"embedding": np.full((1, 2), np.inf, np.float32)}, 0, 0)

    plane.runtime.infer = overflow  # type: ignore[method-assign]
    with pytest.raises(InvalidInputError, match="finite"):
        plane.predict(FileInput(b"a"))


def test_the_models_of_the_runtime_become_heads() -> None:
    runtime = FakeRuntime(
        classification("text/sentiment", "no", "yes"), classification("text/topic", "a", "b")
    )
    plane = DataPlane(runtime, 1)
    try:
        assert plane.head("text", "sentiment").spec.route == "text/sentiment"
        with pytest.raises(UnknownModelError) as task:
            plane.head("text", "nonsense")
        with pytest.raises(UnknownModelError) as modality:
            plane.head("smell", "sentiment")
    finally:
        plane.close()
    assert task.value.known == ("text/sentiment", "text/topic")
    assert "text" in str(modality.value)


# --- tensors in, tensors out --------------------------------------------------------------


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


def test_decoding_elsewhere_stops_with_the_request() -> None:
    began, ended = threading.Event(), threading.Event()

    class Decoders:
        def prepare(self, *arguments: Any) -> PreparedInput:
            abandonment: Abandonment = arguments[-1]
            with abandonment.ended_by(ended.set):
                began.set()
                assert ended.wait(60)
            raise AbandonedError

    runtime = FakeRuntime(letters_spec())
    plane = DataPlane(runtime, 1, decoders=Decoders())

    async def main() -> None:
        call = plane.predict(letters_head(runtime), texts(b"good"), {}, batched=False)
        task = asyncio.create_task(call)
        assert await asyncio.to_thread(began.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())
    plane.close()
