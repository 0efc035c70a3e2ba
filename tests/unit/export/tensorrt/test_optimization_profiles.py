from __future__ import annotations

import pytest

from export.tensorrt.optimization_profiles import head_profile, make_profile
from omnivec2.engines.shape_ranges import ShapeRange
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec, TaskFamily, TensorSpec


def make_head(modality: str, inputs: dict[str, tuple[int, ...]], **fields: object) -> HeadSpec:
    head = HeadSpec(
        modality=Modality(modality),
        task="task",
        family=TaskFamily.CLASSIFICATION,
        inputs=tuple(TensorSpec(name=n, dtype="int32", shape=s) for n, s in inputs.items()),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        preprocess=PreprocessSpec(
            name=Modality(modality), version=1, parameters={"max_tokens": 128}
        ),
        limits=Limits(nodes=64, edges=100),
        max_batch_size=16,
        network="tiny",
    )
    return head.model_copy(update=fields)


def test_of_fixed_shapes_only_the_batch_is_dynamic_up_to_the_heads_largest() -> None:
    profile = head_profile(make_head("image", {"pixels": (96, 96, 3)}))
    shapes = [(size, 96, 96, 3) for size in (1, 4, 16)]
    assert profile == {"pixels": ShapeRange(*shapes)}


def test_inputs_that_share_an_axis_agree_on_its_sizes() -> None:
    names = ("input_ids", "token_type_ids", "attention_mask")
    profile = head_profile(make_head("text", dict.fromkeys(names, (-1,))))
    assert set(profile) == set(names)
    assert set(profile.values()) == {ShapeRange((1, 2), (4, 16), (16, 128))}


def test_lengths_come_from_the_heads_limits() -> None:
    profile = head_profile(make_head("graph", {"nodes": (-1, 9), "edges": (-1, 2)}))
    assert profile["nodes"] == ShapeRange((1, 1, 9), (4, 8, 9), (16, 64, 9))
    assert profile["edges"] == ShapeRange((1, 1, 2), (4, 10, 2), (16, 100, 2))


def test_a_part_names_its_own_axes_and_limits() -> None:
    tokens = TensorSpec(name="x", dtype="float32", shape=(-1, 384))
    axes = {"x": {0: "batch", 1: "tokens"}}
    profile = make_profile((tokens,), axes, {"batch": (1, 64), "tokens": (16, 256)})
    assert profile == {"x": ShapeRange((1, 16, 384), (8, 64, 384), (64, 256, 384))}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"batch": (1, 8)}, "x: axis 1 is dynamic, but has no limits"),
        ({"batch": (1, 8), "tokens": (9, 8)}, r"x: no size is from 9 to 8 \(tokens\)"),
        ({"batch": (0, 8), "tokens": (1, 8)}, r"x: no size is from 0 to 8 \(batch\)"),
    ],
)
def test_an_axis_without_possible_sizes_is_refused(
    limits: dict[str, tuple[int, int]], message: str
) -> None:
    tokens = TensorSpec(name="x", dtype="float32", shape=(-1,))
    with pytest.raises(ExportError, match=message):
        make_profile((tokens,), {"x": {0: "batch", 1: "tokens"}}, limits)
