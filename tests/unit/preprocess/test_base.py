from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from omnivec2.errors import ArtifactError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess import (
    Array,
    Prepared,
    Preprocessor,
    collate,
    preprocessor_for,
    preprocessor_type,
)
from omnivec2.preprocess.base import Parameters, json_type
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec, TaskFamily, TensorSpec

PARAMETERS = {
    Modality.TABULAR: {
        "columns": [
            {"name": "age", "kind": "number", "mean": 40.0, "std": 13.0},
            {"name": "job", "kind": "category", "categories": ["a", "b", "c"]},
        ]
    }
}


class WithoutRandomInputs(Preprocessor[Parameters, bytes]):
    modality = Modality.IMAGE
    media_types: ClassVar[dict[str, str]] = {"text/letters": "letters"}
    parameters_type = Parameters
    default_limits = Limits(bytes=4)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return ()

    def decode(self, data: bytes, media_type: str | None = None) -> bytes:
        return data

    def prepare(self, native: bytes) -> Prepared:
        return Prepared([{"letters": np.frombuffer(native, np.uint8)}])


class Letters(WithoutRandomInputs):
    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        return {}


def make_head(modality: Modality) -> HeadSpec:
    parameters = PARAMETERS.get(modality, {})
    preprocess = PreprocessSpec(name=modality, version=1, parameters=parameters)
    preprocessor = preprocessor_for(preprocess)
    return HeadSpec(
        modality=modality,
        task="task",
        family=TaskFamily.EMBEDDING,
        inputs=preprocessor.inputs,
        outputs=(),
        preprocess=preprocess,
        limits=preprocessor.limits,
        network="tiny",
    )


def test_a_preprocessor_without_random_inputs_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="random_inputs"):
        WithoutRandomInputs(Parameters())  # type: ignore[abstract]


def test_a_file_without_a_signature_has_no_content_type_and_a_plain_input_no_dynamic_axis() -> None:
    assert Letters(Parameters()).sniff(b"abc") is None
    assert Letters.dynamic_axes(make_head(Modality.IMAGE)) == {}
    assert Letters(Parameters()).json_example is None


def test_base64_may_be_a_data_url_but_no_longer_than_the_limit() -> None:
    letters = Letters(Parameters())
    assert letters.decode_json("YWJj") == b"abc"
    assert letters.decode_json("data:text/plain;base64,YWJj") == b"abc"
    with pytest.raises(TooLargeError, match="larger than 4 bytes"):
        letters.decode_json("YWJj" * 3)
    with pytest.raises(UndecodableError, match="base64"):
        letters.decode_json("?")
    with pytest.raises(InvalidInputError, match="got a boolean"):
        letters.decode_json(True)


def test_types_are_named_as_json_names_them() -> None:
    values: tuple[Any, ...] = ({}, [], "", False, 1, 1.5, None)
    names = ["an object", "a list", "a string", "a boolean", "a number", "a number", "null"]
    assert [json_type(value) for value in values] == names


def test_shorter_samples_are_padded_with_zeros_at_the_end() -> None:
    samples = [{"a": np.ones((2, 3), np.int32)}, {"a": np.ones((4, 1), np.int32)}]
    batch = collate(samples)["a"]
    assert batch.shape == (2, 4, 3)
    assert batch[0, :2].all()
    assert not batch[0, 2:].any()
    assert batch[1].sum() == 4


def test_a_single_sample_is_a_batch_without_a_copy() -> None:
    sample = {"a": np.ones((2, 3), np.float32), "b": np.float32(5) + np.zeros((), np.float32)}
    batch = collate([sample])
    assert np.shares_memory(batch["a"], sample["a"])
    assert (batch["a"].shape, batch["b"].shape) == ((1, 2, 3), (1,))
    turned = collate([{"a": np.ones((2, 3), np.float32).T}])["a"]
    assert turned.flags.c_contiguous


def test_a_file_may_hold_more_than_its_bytes_unless_its_modality_knows_better() -> None:
    assert Letters(Parameters()).may_expand(b"abc")
    assert Letters(Parameters()).may_expand("YWJj")


def test_a_spec_of_another_version_is_refused() -> None:
    spec = PreprocessSpec(name=Modality.IMU, version=2)
    with pytest.raises(ArtifactError, match="export the model again"):
        preprocessor_for(spec)


@pytest.mark.parametrize("modality", Modality)
def test_random_inputs_have_the_shapes_of_the_tensors_that_are_prepared(modality: Modality) -> None:
    head = make_head(modality)
    kind = preprocessor_type(modality)
    axes = kind.dynamic_axes(head)
    names = {tensor: name for name, axis in axes.items() for tensor in axis.inputs}
    lengths = {name: axis.examples[-1] for name, axis in axes.items()}
    arrays = kind.random_inputs(head, 3, lengths, np.random.default_rng(0))
    assert list(arrays) == [tensor.name for tensor in head.inputs]
    for tensor in head.inputs:
        sizes = (lengths[names[tensor.name]] if size == -1 else size for size in tensor.shape)
        assert arrays[tensor.name].shape == (3, *sizes)


@pytest.mark.parametrize("modality", Modality)
def test_dynamic_axes_are_described_within_the_limits(modality: Modality) -> None:
    head = make_head(modality)
    axes = preprocessor_type(modality).dynamic_axes(head)
    described = {tensor for axis in axes.values() for tensor in axis.inputs}
    assert described == {tensor.name for tensor in head.inputs if -1 in tensor.shape}
    for axis in axes.values():
        assert all(axis.smallest <= size <= axis.largest for size in axis.examples)


@pytest.mark.parametrize(
    "modality", [Modality.IMAGE, Modality.VIDEO, Modality.XRAY, Modality.INFRARED]
)
def test_random_pictures_keep_to_the_range_of_pixels_and_use_it(modality: Modality) -> None:
    head = make_head(modality)
    arrays = preprocessor_type(modality).random_inputs(head, 2, {}, np.random.default_rng(1))
    (pixels,) = arrays.values()
    assert 0 <= pixels.min() < 20
    assert 235 < pixels.max() <= 255
