from __future__ import annotations

import asyncio
import json
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
from service.pipeline.data_plane import Answer, DataPlane
from service.pipeline.host_stages import FileInput, JsonInput, RawInput
from service.runtimes.base import Inference, Model
from tests.support.service_fakes import FakeRuntime, letters_head, letters_spec


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
    assert (answer.model.name, answer.model.version) == ("image_embedding", "7")
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


def test_a_network_that_overflows_gives_no_answer(plane: Plane) -> None:
    async def overflow(model: Model, inputs: Mapping[str, Array]) -> Inference:
        return Inference({"embedding": np.full((1, 2), np.inf, np.float32)}, 0, 0)

    plane.runtime.infer = overflow  # type: ignore[method-assign]
    with pytest.raises(InvalidInputError, match="finite"):
        plane.predict(FileInput(b"a"))


def test_the_models_of_the_runtime_become_heads() -> None:
    from tests.support.tiny_models import classification

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
