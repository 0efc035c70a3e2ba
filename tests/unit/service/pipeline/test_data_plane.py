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
    TooLargeError,
    UndecodableError,
    UnknownModelError,
)
from omnivec2.preprocess import Array
from service.pipeline.abandonment import AbandonedError, Abandonment
from service.pipeline.answers import Answer
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import FileInput, JsonInput, PreparedInput, RawInput
from service.runtimes.base import Inference, Model
from tests.support.model_repositories.tiny_models import classification
from tests.support.service_parts.service_fakes import FakeRuntime, letters_head, letters_spec

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
